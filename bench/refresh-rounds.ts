import { type Cores, cpuMicrosecondsOf } from './cores.ts'
import type { Load } from './load.ts'
import type { SignRate, SignRateMeter } from './sign-rate.ts'
import { type Spread, spreadOf } from './statistics.ts'

export const AT_ONCE = [1, 16, 64] as const

export interface RoundSettings {
  readonly rounds: number
  readonly seconds: number
}

/** Refreshes at one degree of concurrency, over all rounds. What needs `/proc` is null where there is none. */
export interface RefreshFigures {
  readonly atOnce: number
  readonly requestsPerSecond: Spread
  /** Requests per second through signatures per second, round by round. */
  readonly ratio: Spread
  readonly p50Ms: Spread
  readonly p99Ms: Spread
  /** Processor time of the server's whole process per refresh. */
  readonly cpuMicroseconds: Spread | null
  /** Processor time of a signature through that of a refresh: the ratio on a core that nobody else uses. */
  readonly cpuRatio: Spread | null
  /** How much of their cores the load and Redis use: near 1 it is they who limit the rate. */
  readonly othersBusy: Spread | null
  /** Answered with 503 or 429 instead, over all rounds: the machine was too busy for the figures to say much. */
  readonly putOff: number
}

export interface RoundsFigures {
  readonly signaturesPerSecond: Spread
  readonly signatureCpuMicroseconds: Spread
  readonly refreshes: readonly RefreshFigures[]
}

export interface Run {
  readonly signing: SignRate
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuMicroseconds: number | undefined
  readonly othersBusy: number | undefined
  readonly putOff: number
}

export interface RunSetting {
  readonly cores: Cores
  readonly meter: SignRateMeter
  readonly load: Load
  readonly serverPid: number
  /** Of the process that serves the store, where there is one. */
  readonly storePid: number | undefined
  readonly progress: (line: string) => void
}

/** Interleaved, because the machine drifts: every round measures the signing rate and then each concurrency. */
export async function runRounds(
  setting: RunSetting,
  { rounds, seconds }: RoundSettings,
): Promise<RoundsFigures> {
  const { meter, load, progress } = setting
  await load.run(16, seconds)
  await load.run(64, seconds / 2)

  const signings: SignRate[] = []
  const runs = new Map<number, Run[]>(AT_ONCE.map((atOnce) => [atOnce, []]))
  for (let round = 1; round <= rounds; round += 1) {
    const signing = await meter.measure()
    signings.push(signing)
    for (const atOnce of AT_ONCE) runs.get(atOnce)!.push(await runOnce(setting, signing, atOnce, seconds))
    const rates = AT_ONCE.map(
      (atOnce) => `${atOnce} at once ${Math.round(runs.get(atOnce)!.at(-1)!.requestsPerSecond)}/s`,
    )
    progress(`round ${round} of ${rounds}: RSA-2048 ${Math.round(signing.perSecond)}/s, ${rates.join(', ')}`)
  }
  return {
    signaturesPerSecond: spreadOf(signings.map(({ perSecond }) => perSecond)),
    signatureCpuMicroseconds: spreadOf(signings.map(({ cpuMicroseconds }) => cpuMicroseconds)),
    refreshes: [...runs].map(([atOnce, runs]) => figuresOf(atOnce, runs)),
  }
}

export async function runOnce(
  setting: RunSetting,
  signing: SignRate,
  atOnce: number,
  seconds: number,
): Promise<Run> {
  const { cores, load, serverPid, storePid } = setting
  const serverBefore = cpuMicrosecondsOf(serverPid)
  const storeBefore = storePid === undefined ? 0 : cpuMicrosecondsOf(storePid)
  const begun = performance.now()
  const { answers, cpuMicroseconds: loadCpu, ...figures } = await load.run(atOnce, seconds)
  const elapsedMicroseconds = (performance.now() - begun) * 1000
  const server = since(serverBefore, cpuMicrosecondsOf(serverPid))
  const store = since(storeBefore, storePid === undefined ? 0 : cpuMicrosecondsOf(storePid))
  return {
    ...figures,
    signing,
    cpuMicroseconds: server === undefined ? undefined : server / answers,
    othersBusy:
      store === undefined ? undefined : (loadCpu + store) / (elapsedMicroseconds * cores.othersCount),
  }
}

function since(before: number | undefined, now: number | undefined): number | undefined {
  return before === undefined || now === undefined ? undefined : now - before
}

export function figuresOf(atOnce: number, runs: readonly Run[]): RefreshFigures {
  const over = (figure: (run: Run) => number) => spreadOf(runs.map(figure))
  const overKnown = (figure: (run: Run) => number | undefined) => {
    const values = runs.map(figure).filter((value) => value !== undefined)
    return values.length === runs.length ? spreadOf(values) : null
  }
  return {
    atOnce,
    requestsPerSecond: over((run) => run.requestsPerSecond),
    ratio: over((run) => run.requestsPerSecond / run.signing.perSecond),
    p50Ms: over((run) => run.p50Ms),
    p99Ms: over((run) => run.p99Ms),
    cpuMicroseconds: overKnown((run) => run.cpuMicroseconds),
    cpuRatio: overKnown((run) => run.cpuMicroseconds && run.signing.cpuMicroseconds / run.cpuMicroseconds),
    othersBusy: overKnown((run) => run.othersBusy),
    putOff: runs.reduce((sum, { putOff }) => sum + putOff, 0),
  }
}
