import { SIGNING_ALGS, type SigningAlg } from '../src/tokens/signing-key.ts'
import { type Cores, cpuMicrosecondsOf } from './cores.ts'
import type { Load } from './load.ts'
import { algorithmSignRate, type SignRate } from './sign-rate.ts'
import { type Spread, spreadOf } from './statistics.ts'
import { type Report, spread } from './tables.ts'

export interface AlgorithmsSettings {
  readonly rounds: number
  /** Of refreshes with each algorithm, in each round. */
  readonly seconds: number
  readonly atOnce: number
}

/** What one algorithm does. A ratio is to RS256 in the same round. What needs `/proc` is null where there is none. */
export interface AlgorithmFigures {
  readonly alg: SigningAlg
  readonly signaturesPerSecond: Spread
  readonly signatureCpuMicroseconds: Spread
  /** By processor time: how many of its signatures cost what one of RS256 does. */
  readonly signatureRatio: Spread
  readonly refreshesPerSecond: Spread
  readonly refreshRatio: Spread
  /** Processor time of the server's whole process per refresh. */
  readonly refreshCpuMicroseconds: Spread | null
  /** By processor time, as on a core that nobody else uses. */
  readonly refreshCpuRatio: Spread | null
}

export interface AlgorithmsFigures extends AlgorithmsSettings {
  readonly node: string
  readonly processor: string
  readonly algorithms: readonly AlgorithmFigures[]
}

/** A server that signs with this algorithm, and the load on it. */
export interface AlgorithmServer {
  readonly alg: SigningAlg
  readonly pid: number
  readonly load: Load
}

interface Run {
  readonly signing: SignRate
  readonly requestsPerSecond: number
  readonly cpuMicroseconds: number | undefined
}

/** Interleaved, because the machine drifts: every round measures each algorithm, its signatures and then its refreshes. */
export async function measureAlgorithms(
  cores: Cores,
  servers: readonly AlgorithmServer[],
  settings: AlgorithmsSettings,
  progress: (line: string) => void,
): Promise<readonly AlgorithmFigures[]> {
  const { rounds, seconds, atOnce } = settings
  for (const { load } of servers) await load.run(atOnce, seconds)
  const runs: Run[][] = []
  for (let round = 1; round <= rounds; round += 1) {
    const ofRound: Run[] = []
    for (const { alg, pid, load } of servers) {
      const signing = await algorithmSignRate(cores, alg, seconds / 4)
      const before = cpuMicrosecondsOf(pid)
      const { answers, requestsPerSecond } = await load.run(atOnce, seconds)
      const after = cpuMicrosecondsOf(pid)
      const used = before === undefined || after === undefined ? undefined : (after - before) / answers
      ofRound.push({ signing, requestsPerSecond, cpuMicroseconds: used })
    }
    runs.push(ofRound)
    const rates = servers.map(({ alg }, i) => `${alg} ${Math.round(ofRound[i]!.requestsPerSecond)}/s`)
    progress(`round ${round} of ${rounds}: ${rates.join(', ')}`)
  }
  const base = servers.findIndex(({ alg }) => alg === SIGNING_ALGS[0])
  return servers.map(({ alg }, i) =>
    figuresOf(
      alg,
      runs.map((run) => [run[i]!, run[base]!]),
    ),
  )
}

function figuresOf(alg: SigningAlg, runs: readonly (readonly [own: Run, base: Run])[]): AlgorithmFigures {
  const over = (figure: (own: Run, base: Run) => number) => spreadOf(runs.map((run) => figure(...run)))
  const isKnown = runs.every((run) => run.every(({ cpuMicroseconds }) => cpuMicroseconds !== undefined))
  return {
    alg,
    signaturesPerSecond: over(({ signing }) => signing.perSecond),
    signatureCpuMicroseconds: over(({ signing }) => signing.cpuMicroseconds),
    signatureRatio: over((own, base) => base.signing.cpuMicroseconds / own.signing.cpuMicroseconds),
    refreshesPerSecond: over((own) => own.requestsPerSecond),
    refreshRatio: over((own, base) => own.requestsPerSecond / base.requestsPerSecond),
    refreshCpuMicroseconds: isKnown ? over((own) => own.cpuMicroseconds!) : null,
    refreshCpuRatio: isKnown ? over((own, base) => base.cpuMicroseconds! / own.cpuMicroseconds!) : null,
  }
}

/** The figures for a person, line by line. */
export function algorithmsReportOf(figures: AlgorithmsFigures): Report {
  const { node, processor, rounds, seconds, atOnce, algorithms } = figures
  return {
    name: 'algorithms',
    title: `Refreshes by SIGNING_ALG, on Redis, ${atOnce} at once; Node ${node}, ${processor}`,
    notes: [
      `medians of ${rounds} interleaved rounds of ${seconds} s, least to most in brackets; × is how many in the time of one of RS256`,
    ],
    tables: [
      {
        title: 'Signatures, and whole refreshes',
        notes: [],
        header: ['', 'signature CPU µs', 'of RS256', 'refreshes/s', 'of RS256', 'refresh CPU µs', 'of RS256'],
        rows: algorithms.map((row) => [
          row.alg,
          spread(row.signatureCpuMicroseconds, 1),
          `× ${spread(row.signatureRatio, 2)}`,
          spread(row.refreshesPerSecond, 0),
          `× ${spread(row.refreshRatio, 2)}`,
          spread(row.refreshCpuMicroseconds, 0),
          `× ${spread(row.refreshCpuRatio, 2)}`,
        ]),
      },
    ],
    charts: [],
  }
}
