import { once } from 'node:events'
import 'lmdb'

/*
 * Says that it has started, and is told when to become the process that holds the write lock.
 */
const told = once(process, 'message')
process.send?.('started')
await told
await import('../stores/lock-holder.ts')
