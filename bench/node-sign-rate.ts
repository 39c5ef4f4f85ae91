import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import type { SignRate } from './sign-rate.ts'

// A program of its own, so that it can be put on the server's core. Its argument is for how many seconds it signs.
const seconds = Number(process.argv[2])
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const data = randomBytes(400)
for (let i = 0; i < 200; i += 1) sign('RSA-SHA256', data, privateKey)

const cpu = process.cpuUsage()
const start = performance.now()
let signatures = 0
while (performance.now() - start < seconds * 1000) {
  sign('RSA-SHA256', data, privateKey)
  signatures += 1
}
const elapsedSeconds = (performance.now() - start) / 1000
const { user, system } = process.cpuUsage(cpu)
const rate: SignRate = {
  perSecond: signatures / elapsedSeconds,
  cpuMicroseconds: (user + system) / signatures,
}
console.log(JSON.stringify(rate))
