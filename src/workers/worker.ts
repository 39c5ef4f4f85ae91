import cluster from 'node:cluster'
import { isOurs, type Questions, type ToPrimary, type Topic } from './messages.ts'

/** The variable that a worker's place is told by. */
export const PLACE_VARIABLE = 'PAWL_WORKER_PLACE'
/** The variable by which it is told whether it is the first one there: 1, or 0. */
export const FIRST_VARIABLE = 'PAWL_WORKER_FIRST'

/** One of several server processes. */
export interface WorkerRole {
  /** From 0; whoever follows one that ended has its place. */
  readonly place: number
  /** Of how many. */
  readonly of: number
  /** Whether it is there since the server was started, and follows none. */
  readonly isFirst: boolean
}

/** @returns the role of this process, or `undefined` where it is the only one. */
export function workerRole(
  environment: Readonly<Record<string, string | undefined>>,
  workers: number,
): WorkerRole | undefined {
  const place = environment[PLACE_VARIABLE]
  // A process manager may have a cluster of its own, whose worker is a whole server to us.
  if (!cluster.isWorker || place === undefined) return undefined
  return { place: Number(place), of: workers, isFirst: environment[FIRST_VARIABLE] === '1' }
}

type Answers = { readonly [T in Topic]: (asks: Questions[T]['asks']) => Promise<Questions[T]['answer']> }

/** Answers what the primary asks. A question that fails gets no answer, and the primary does not wait for ever. */
export function answerPrimary(answers: Answers): void {
  const { worker } = cluster
  worker?.on('message', (message: unknown) => {
    if (!isOurs(message) || message.pawl !== 'ask') return
    const { id, topic, asks } = message
    const answering = answers[topic](asks as never)
    answering.then(
      (answer) => {
        if (worker.isConnected()) worker.send({ pawl: 'answer', id, answer } satisfies ToPrimary)
      },
      () => undefined,
    )
  })
}
