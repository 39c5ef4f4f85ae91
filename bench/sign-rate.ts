import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { SigningAlg } from '../src/tokens/signing-key.ts'
import { type Cores, onServerCore } from './cores.ts'

/** How fast RSA-2048 signatures can be made on the server's core, right now. */
export interface SignRate {
  /** By the clock on the wall, so that whatever else takes the core away counts, as it does for the server. */
  readonly perSecond: number
  /** Processor time of one signature. */
  readonly cpuMicroseconds: number
}

export interface SignRateMeter {
  /** Who signs. */
  readonly name: string
  measure(): Promise<SignRate>
}

const NODE_SIGN = fileURLToPath(new URL('./node-sign-rate.js', import.meta.url))

/** OpenSSL's own benchmark, or where there is no OpenSSL, a loop over `node:crypto`. */
export function signRateMeter(cores: Cores, seconds: number): SignRateMeter {
  // macOS has an `openssl` that is LibreSSL and knows none of the options.
  const { stdout } = spawnSync('openssl', ['version'], { encoding: 'utf8' })
  const version = /^OpenSSL (\S+)/.exec(stdout ?? '')?.[1]
  if (version !== undefined) {
    return { name: `openssl speed rsa2048 (OpenSSL ${version})`, measure: () => openssl(cores, seconds) }
  }
  return {
    name: `node:crypto sign in a loop (OpenSSL ${process.versions.openssl}), for want of an openssl command`,
    measure: () => nodeCrypto(cores, seconds),
  }
}

async function openssl(cores: Cores, seconds: number): Promise<SignRate> {
  // "+R1:signatures:bits:user seconds", counted until an alarm that goes by the clock on the wall. Verifying, which it
  // measures next, is of no interest.
  const SIGNED = /^\+R1:(\d+):2048:([\d.]+)$/m
  const output = await run(cores, 'openssl', ['speed', '-seconds', String(seconds), '-mr', 'rsa2048'], SIGNED)
  const [, signatures, userSeconds] = SIGNED.exec(output) ?? []
  if (signatures === undefined) throw new Error(`openssl speed gave no figure:\n${output}`)
  return {
    perSecond: Number(signatures) / seconds,
    cpuMicroseconds: (Number(userSeconds) / Number(signatures)) * 1e6,
  }
}

async function nodeCrypto(cores: Cores, seconds: number): Promise<SignRate> {
  return algorithmSignRate(cores, 'RS256', seconds)
}

/** How fast signatures of this algorithm can be made on the server's core, right now, as the server makes them. */
export async function algorithmSignRate(cores: Cores, alg: SigningAlg, seconds: number): Promise<SignRate> {
  return JSON.parse(await run(cores, process.execPath, [NODE_SIGN, String(seconds), alg])) as SignRate
}

/** @param enough ends the program as soon as its output has this. */
async function run(cores: Cores, command: string, args: string[], enough?: RegExp): Promise<string> {
  const child = spawn(...onServerCore(cores, command, args))
  let output = ''
  const take = (text: string) => {
    output += text
    if (enough?.test(output)) child.kill()
  }
  child.stdout.setEncoding('utf8').on('data', take)
  child.stderr.setEncoding('utf8').on('data', take)
  await once(child, 'close')
  return output
}
