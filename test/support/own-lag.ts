import { monitorEventLoopDelay } from 'node:perf_hooks'

/** Milliseconds that something takes, less what a busy machine keeps this very process waiting meanwhile. */
export async function msWithoutLag(work: () => Promise<unknown>): Promise<number> {
  const lag = monitorEventLoopDelay({ resolution: 10 })
  lag.enable()
  const begin = performance.now()
  await work()
  lag.disable()
  return performance.now() - begin - lag.max / 1e6
}
