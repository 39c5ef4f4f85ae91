import type { Test } from 'tap'
import type { User } from '../../src/accounts/user.ts'
import { respond, startReceiver } from '../support/webhook-receiver.ts'

/** Where users live whose passwords the server does not have: a verify webhook's receiver. */
export interface Userbase {
  /** What a server must be told of it. */
  readonly env: Readonly<Record<string, string>>
  add(user: User, password: string): void
  remove(user: User): void
}

/** Most sign-ins go there, because each password that is verified here costs an argon2id. */
export async function startUserbase(t: Test): Promise<Userbase> {
  const receiver = await startReceiver(t)
  const users = new Map<string, { sub: string; password: string }>()
  receiver.answer = ({ json }, response) => {
    receiver.received.length = 0
    const user = users.get(String(json.username))
    if (!user) return respond(response, { result: 'unknown' })
    if (user.password !== json.password) return respond(response, { result: 'denied' })
    respond(response, { result: 'ok', sub: user.sub })
  }
  return {
    env: { VERIFY_WEBHOOK_URL: receiver.url, VERIFY_WEBHOOK_SECRET: receiver.secret },
    add: ({ username, sub }, password) => void users.set(username, { sub, password }),
    remove: ({ username }) => void users.delete(username),
  }
}
