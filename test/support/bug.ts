/*
 * Loaded into a server before it starts (`node --import`): a bug, as far as a request can tell. No token can be signed; keys
 * are tried on a shorter text when they are read.
 */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

const LONGEST_TRIAL = 64
const sign = crypto.sign as (...args: unknown[]) => unknown
Object.assign(crypto, {
  sign(algorithm: unknown, data: Buffer, ...more: unknown[]) {
    if (data.length > LONGEST_TRIAL) throw new TypeError('a canary of a bug')
    return sign(algorithm, data, ...more)
  },
})
syncBuiltinESMExports()
