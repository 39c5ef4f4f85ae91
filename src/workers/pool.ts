import cluster, { type Worker } from 'node:cluster'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { isOurs, type Questions, type Topic, type ToWorker } from './messages.ts'
import { FIRST_VARIABLE, PLACE_VARIABLE } from './worker.ts'

/** Before a worker that ended is replaced; twice as long each time, as long as they do not live. */
const LEAST_PAUSE_MS = 100
const MOST_PAUSE_MS = 30_000
/** A worker that has served for this long was a good one: the next pause is the least again. */
const GOOD_LIFE_MS = 60_000
/** For an answer. A worker asks its store within a second. */
const ANSWER_MS = 1500
/** A worker stops within less by itself (main.ts), and the primary must be done before ten seconds are over. */
const STOP_MS = 7500
/** A worker that is just starting does not hear the first time. */
const STOP_AGAIN_MS = 250

/** A worker that ended before it ever listened, at the first start: its last words are on standard error. */
export class WorkerStartError extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super('A worker process did not start')
    this.exitCode = exitCode
  }
}

/** The worker processes of one server. They share the public port; each has its own connections to the store. */
export interface WorkerPool {
  /** The public port. */
  readonly port: number
  /** The workers that listen. */
  readonly serving: number
  /** Those that ended without being told to, since the start. */
  readonly ended: number
  /** Whether this process is one of them now. */
  has(pid: number): boolean
  /** Asks all that listen. The promise of one that does not answer in time is rejected. */
  askAll<T extends Topic>(topic: T, asks: Questions[T]['asks']): Promise<Questions[T]['answer']>[]
  /** The answer of any. @returns `undefined` when none listens or answers. */
  askAny<T extends Topic>(topic: T, asks: Questions[T]['asks']): Promise<Questions[T]['answer'] | undefined>
  /** Lets every worker finish what is under way; ends one that does not. */
  stop(): Promise<void>
}

/**
 * Starts as many workers: one at first, whose trouble with a port or a store is told once, then the others.
 *
 * @throws {WorkerStartError} when one of them ends before it listens.
 */
export async function startWorkers(count: number, log: Logger): Promise<WorkerPool> {
  // Dealt out in turn by the primary, a connection that is on its way to a worker that is killed would hang for ever.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  const places = new Map<number, Worker>()
  const serving = new Set<Worker>()
  const waiting = new Map<number, (answer: unknown) => void>()
  const pauses = new Set<NodeJS.Timeout>()
  let lastId = 0
  let port = 0
  let ended = 0
  let stopping = false
  let started = false

  function fork(place: number, pauseMs: number): Worker {
    const worker = cluster.fork({ [PLACE_VARIABLE]: String(place), [FIRST_VARIABLE]: started ? '0' : '1' })
    const begun = performance.now()
    places.set(place, worker)
    worker.once('listening', (address) => {
      serving.add(worker)
      port = address.port
      if (started) log.info({ worker: worker.process.pid, place }, 'a worker serves')
    })
    worker.on('message', (message: unknown) => {
      if (isOurs(message) && message.pawl === 'answer') waiting.get(message.id)?.(message.answer)
    })
    // Sending to one that is going away.
    worker.on('error', () => undefined)
    worker.once('exit', (code: number | null, signal: string | null) => {
      serving.delete(worker)
      places.delete(place)
      if (stopping || !started) return
      ended += 1
      const pause = performance.now() - begun > GOOD_LIFE_MS ? LEAST_PAUSE_MS : pauseMs
      log.error({ worker: worker.process.pid, place, code, signal, pause_ms: pause }, 'a worker ended')
      const timer = setTimeout(() => {
        pauses.delete(timer)
        if (!stopping) fork(place, Math.min(2 * pause, MOST_PAUSE_MS))
      }, pause)
      pauses.add(timer)
    })
    return worker
  }

  function ask<T extends Topic>(
    worker: Worker,
    topic: T,
    asks: Questions[T]['asks'],
  ): Promise<Questions[T]['answer']> {
    lastId += 1
    const id = lastId
    return new Promise<Questions[T]['answer']>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no answer')), ANSWER_MS)
      waiting.set(id, (answer) => {
        clearTimeout(timer)
        resolve(answer as Questions[T]['answer'])
      })
      worker.send({ pawl: 'ask', id, topic, asks } satisfies ToWorker)
    }).finally(() => waiting.delete(id))
  }

  async function stop(): Promise<void> {
    stopping = true
    for (const timer of pauses) clearTimeout(timer)
    const workers = [...places.values()]
    const gone = Promise.all(
      workers.map(async (worker) => {
        // Not `once`, which an error rejects: telling one that was just killed is EPIPE.
        const exit = new Promise((resolve) => worker.once('exit', resolve))
        const tell = () => {
          if (worker.isConnected()) worker.send({ pawl: 'stop' } satisfies ToWorker)
        }
        tell()
        const telling = setInterval(tell, STOP_AGAIN_MS)
        await exit
        clearInterval(telling)
      }),
    )
    await Promise.race([gone, sleep(STOP_MS, undefined, { ref: false })])
    for (const worker of workers) if (!worker.isDead()) worker.process.kill('SIGKILL')
    await gone
  }

  const pool: WorkerPool = {
    get port() {
      return port
    },
    get serving() {
      return serving.size
    },
    get ended() {
      return ended
    },
    has: (pid) => [...places.values()].some((worker) => worker.process.pid === pid),
    askAll: (topic, asks) => [...serving].map((worker) => ask(worker, topic, asks)),
    async askAny(topic, asks) {
      for (const worker of serving) {
        try {
          return await ask(worker, topic, asks)
        } catch {
          // The next one may.
        }
      }
      return undefined
    },
    stop,
  }

  try {
    await listening(fork(0, LEAST_PAUSE_MS))
    const others = Array.from({ length: count - 1 }, (_, i) => listening(fork(i + 1, LEAST_PAUSE_MS)))
    await Promise.all(others)
  } catch (error) {
    await stop()
    throw error
  }
  started = true
  return pool
}

function listening(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('listening', () => resolve())
    worker.once('exit', (code) => reject(new WorkerStartError(code || 1)))
  })
}
