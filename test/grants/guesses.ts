import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { deploy, type StoreKind } from '../support/deployment.ts'
import { type Answer, postForm } from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'

const PATIENCE_MS = 60_000
export const HOME = '203.0.113.7'
export const OFFICE = '198.51.100.9'

/** One IPv4 /24 after another. */
export const stranger = (i: number) => `10.${i >> 8}.${i & 255}.1`

/** Attempts that went through to the password, and such that were refused unseen. */
export function tally(answers: readonly Answer[]) {
  const wrong = answers.filter(({ status, json }) => status === 400 && json?.error === 'invalid_grant').length
  const throttled = answers.filter(({ status }) => status === 429).length
  const served = answers.filter(({ status }) => status === 200).length
  return { served, wrong, throttled, other: answers.length - served - wrong - throttled }
}

/** Asks all, some at once. */
export async function crowd<T>(
  atOnce: number,
  questions: readonly T[],
  ask: (question: T) => Promise<Answer>,
) {
  const answers: Answer[] = []
  const waiting = [...questions]
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) answers.push(await ask(next))
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return answers
}

/** A server behind a proxy, with these budgets, and an account; networks are chosen by each request. */
export async function begin(t: Test, kind: StoreKind, budgets: Readonly<Record<string, string>>) {
  const env = { TRUST_PROXY: '127.0.0.0/8', ...budgets }
  const deployment = await deploy(t, kind, { env })
  const ada = await deployment.addAccount('ada')
  const server = await deployment.startServer()
  const ask = (address: string, form: Readonly<Record<string, string>> = {}, at: ServerProcess = server) =>
    postForm(`${at.url}/token`, { grant_type: 'password', ...ada, ...form }, { 'x-forwarded-for': address })
  /** As good clients do: who is asked to come again, because the machine is busy, comes again. */
  const from = async (...question: Parameters<typeof ask>) => {
    const end = performance.now() + PATIENCE_MS
    let answer = await ask(...question)
    while (answer.status === 503 && performance.now() < end) {
      await sleep(200)
      answer = await ask(...question)
    }
    return answer
  }
  const guess = (address: string, username = 'ada', at?: ServerProcess) =>
    from(address, { username, password: 'guessed' }, at)
  return { deployment, ada, server, ask, from, guess }
}
