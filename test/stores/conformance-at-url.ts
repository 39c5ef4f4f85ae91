import { conformance } from './conformance.ts'

conformance('the store at STORE_URL', async () => process.env.STORE_URL ?? '')
