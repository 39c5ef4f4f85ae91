import { createCipheriv, pbkdf2Sync, scryptSync, timingSafeEqual } from 'node:crypto'
import { verifySync as verifyArgon2 } from '@node-rs/argon2'
import { verifySync as verifyBcrypt } from '@node-rs/bcrypt'
import { readStoredHash } from './stored-hash.ts'

/**
 * Whether this is the password behind a stored hash, computed on this thread.
 *
 * @throws when that cannot be told: the hash cannot be read, or the computation fails.
 */
export function isPasswordOf(passwordHash: string, password: string): boolean {
  const stored = readStoredHash(passwordHash)
  switch (stored.kind) {
    case 'argon2':
      return verifyArgon2(passwordHash, password)
    case 'bcrypt':
      // Only the first 72 bytes count, as wherever the hash was made.
      return verifyBcrypt(password, passwordHash)
    case 'scrypt':
      return timingSafeEqual(scrypt(stored, stored.lanes, password, stored.key.length), stored.key)
    case 'firebase-scrypt': {
      const key = scrypt(stored, 1, password, 32)
      const zeros = Buffer.alloc(stored.keystream.length)
      return timingSafeEqual(createCipheriv('aes-256-ctr', key, IV).update(zeros), stored.keystream)
    }
    case 'pbkdf2': {
      const { salt, iterations, key, digest } = stored
      return timingSafeEqual(pbkdf2Sync(password, salt, iterations, key.length, digest), key)
    }
  }
}

/** Firebase's, for every user. Each has a key of their own. */
const IV = Buffer.alloc(16)

function scrypt(
  { logN, blockSize, salt }: { logN: number; blockSize: number; salt: Buffer },
  lanes: number,
  password: string,
  bytes: number,
): Buffer {
  const N = 2 ** logN
  // RFC 7914 section 2, and some room: by default Node refuses more than 32 MiB.
  const maxmem = 128 * blockSize * (N + lanes + 2) + 1024 * 1024
  return scryptSync(password, salt, bytes, { N, r: blockSize, p: lanes, maxmem })
}
