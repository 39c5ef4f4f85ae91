import { join } from 'node:path'
import { conformance } from './conformance.ts'

conformance('LMDB', async (t) => `lmdb:${join(t.testdir(), 'data')}`)
