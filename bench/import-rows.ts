import { createCipheriv, pbkdf2Sync, randomBytes, scryptSync } from 'node:crypto'
import { hashSync as argon2 } from '@node-rs/argon2'
import { hashSync as bcrypt } from '@node-rs/bcrypt'

/** The password behind every row. */
export const ROW_PASSWORD = 'a password of another system'

const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')

/** Six kinds of hash, as six systems write them. Low costs: they are made here, and an import computes none. */
const HASHES: readonly (() => unknown)[] = [
  () => argon2(ROW_PASSWORD, { memoryCost: 4096, timeCost: 1, parallelism: 1 }),
  () => bcrypt(ROW_PASSWORD, { cost: 4 }),
  () => {
    const salt = randomBytes(16)
    return `$scrypt$ln=10,r=8,p=1$${base64(salt)}$${base64(scryptSync(ROW_PASSWORD, salt, 32, { N: 1024 }))}`
  },
  () => {
    const salt = randomBytes(8).toString('hex')
    return `pbkdf2_sha256$1000$${salt}$${pbkdf2Sync(ROW_PASSWORD, salt, 1000, 32, 'sha256').toString('base64')}`
  },
  () => {
    const salt = randomBytes(16)
    const value = pbkdf2Sync(ROW_PASSWORD, salt, 1000, 64, 'sha512').toString('base64')
    return {
      type: 'password',
      secretData: JSON.stringify({ value, salt: salt.toString('base64'), additionalParameters: {} }),
      credentialData: JSON.stringify({ hashIterations: 1000, algorithm: 'pbkdf2-sha512' }),
    }
  },
  () => {
    const [salt, separator, signerKey] = [randomBytes(10), Buffer.from([7]), randomBytes(64)]
    const key = scryptSync(ROW_PASSWORD, Buffer.concat([salt, separator]), 32, { N: 1024 })
    const hash = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(signerKey).toString('base64')
    const parameters = `v=1,n=10,r=8,p=1,ss=${separator.toString('base64')},sk=${signerKey.toString('base64')}`
    return `$fbscrypt$${parameters}$${salt.toString('base64')}$${hash}`
  },
]

/** NDJSON of users whose hashes are of six kinds, some hundred different ones of each. */
export function* importRows(users: number): Generator<string> {
  const hashes = Array.from({ length: 600 }, (_, i) => HASHES[i % HASHES.length]!())
  for (let i = 0; i < users; i += 1) {
    yield `${JSON.stringify({
      username: `user-${i}@example.com`,
      password_hash: hashes[i % hashes.length],
      ...(i % 2 === 0 && { sub: `auth0|${i}` }),
      ...(i % 3 === 0 && { claims: { roles: ['reader'] } }),
    })}\n`
  }
}
