import type { Test } from 'tap'
import type { StoreKind } from '../support/deployment.ts'
import { respond, startReceiver } from '../support/webhook-receiver.ts'
import { begin } from './guesses.ts'

export const RIGHT = 'the right password'

/** As `begin`, with sign-ins that a verify webhook holds under way, and counts; names are anybody's, one password is right. */
export async function beginHeld(t: Test, kind: StoreKind, budgets: Readonly<Record<string, string>>) {
  const receiver = await startReceiver(t)
  const held: (() => void)[] = []
  let isHeld = true
  receiver.answer = ({ json: { username, password } }, response) => {
    const verdict = password === RIGHT ? { result: 'ok', sub: `sub-of-${username}` } : { result: 'denied' }
    held.push(() => respond(response, verdict))
    if (!isHeld) goOn()
  }
  /** Answers those that are held. */
  const goOn = () => {
    for (const answer of held.splice(0)) answer()
  }
  /** Answers those, and from now on everybody at once. */
  const letGo = () => {
    isHeld = false
    goOn()
  }
  const env = { VERIFY_WEBHOOK_URL: receiver.url, VERIFY_WEBHOOK_SECRET: receiver.secret }
  return { ...(await begin(t, kind, { ...budgets, ...env })), held, goOn, letGo, received: receiver.received }
}
