import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readSigningKey, type SigningAlg, signOnThread } from '../src/tokens/signing-key.ts'
import type { SignRate } from './sign-rate.ts'

// A program of its own, so that it can be put on the server's core. Its arguments are for how many seconds it signs, and
// with which algorithm; the signature is made as the server makes it.
const [seconds, alg] = [Number(process.argv[2]), process.argv[3] as SigningAlg]
const PRIVATE_KEY = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  EdDSA: () => generateKeyPairSync('ed25519').privateKey,
}
const key = await readSigningKey(PRIVATE_KEY[alg]().export({ type: 'pkcs8', format: 'pem' }) as string)
// As long as the header and the claims of a usual token are.
const input = randomBytes(375).toString('base64url')
for (let i = 0; i < 500; i += 1) void signOnThread(key, input)

const cpu = process.cpuUsage()
const start = performance.now()
let signatures = 0
while (performance.now() - start < seconds * 1000) {
  void signOnThread(key, input)
  signatures += 1
}
const elapsedSeconds = (performance.now() - start) / 1000
const { user, system } = process.cpuUsage(cpu)
const rate: SignRate = {
  perSecond: signatures / elapsedSeconds,
  cpuMicroseconds: (user + system) / signatures,
}
console.log(JSON.stringify(rate))
