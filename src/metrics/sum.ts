import { AggregatorRegistry, Counter, Gauge, Registry } from '@platformatic/prom-client'
import type { WorkerPool } from '../workers/pool.ts'

/** Metrics as their library puts them into JSON. */
type Snapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>

/** The metrics of all workers, as one server's. */
export interface SummedMetrics {
  readonly contentType: string
  text(): Promise<string>
}

/**
 * Adds up the metrics of the workers whenever somebody asks.
 *
 * A worker that ends takes its counts with it, and a sum that falls would look like a restart of all, hence like a burst
 * of requests. So what it had said last is kept.
 */
export function sumMetrics(pool: WorkerPool): SummedMetrics {
  const own = poolMetrics(pool)
  let last = new Map<number, Snapshot>()
  let gone: Snapshot = []
  let latest: Promise<unknown> = Promise.resolve()
  let next: Promise<string> | undefined

  async function sum(): Promise<string> {
    const answers = await Promise.allSettled(pool.askAll('metrics', null))
    const now = new Map<number, Snapshot>()
    for (const answer of answers) {
      if (answer.status === 'fulfilled') now.set(answer.value.pid, answer.value.metrics as Snapshot)
    }
    for (const [pid, snapshot] of last) {
      if (now.has(pid)) continue
      // One that is only busy is there with what it said before.
      if (pool.has(pid)) now.set(pid, snapshot)
      else gone = await addUp([gone, snapshot.filter(({ type }) => isCount(type))]).getMetricsAsJSON()
    }
    last = now
    return addUp([...now.values(), gone, await own.getMetricsAsJSON()]).metrics()
  }

  return {
    contentType: own.contentType,
    // One sum at a time, or a worker that is gone could count twice. Who asks meanwhile shares the next one.
    text() {
      if (next) return next
      const following = latest.then(() => {
        next = undefined
        return sum()
      })
      latest = following.catch(() => undefined)
      next = following
      return following
    },
  }
}

function poolMetrics(pool: WorkerPool): Registry {
  const registry = new Registry()
  const registers = [registry]
  new Gauge({
    name: 'pawl_workers_serving',
    help: 'Worker processes that listen.',
    registers,
    collect() {
      this.set(pool.serving)
    },
  })
  new Counter({
    name: 'pawl_workers_ended_total',
    help: 'Worker processes that ended without being told to.',
    registers,
    collect() {
      this.reset()
      this.inc(pool.ended)
    },
  })
  return registry
}

/** What only ever grows while its process lives. */
const isCount = (type: unknown) => type === 'counter' || type === 'histogram'

// The library's types know less of the values than its two functions, which take what the other gives.
const addUp = (snapshots: readonly Snapshot[]): Registry =>
  AggregatorRegistry.aggregate(snapshots as never) as Registry
