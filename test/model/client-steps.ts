import { strictEqual } from 'node:assert/strict'
import { withRegistration } from '../../src/accounts/client.ts'
import { withoutSessions } from '../../src/accounts/user.ts'
import type { ClientChange } from '../../src/stores/contract.ts'
import { AUDIENCES, GRANTS, type Model, type Registration, SCOPES, WHOLE } from './model.ts'
import type { Real, Step } from './real.ts'

/** What is taken from a client, or given back. */
export const REGISTRATIONS: readonly Partial<Registration>[] = [
  WHOLE,
  { grants: ['password'] },
  { grants: ['refresh_token'] },
  { grants: GRANTS },
  { scopes: ['read'] },
  { scopes: ['write'] },
  { scopes: SCOPES },
  { audiences: AUDIENCES.slice(0, 1) },
  { audiences: AUDIENCES.slice(1) },
  { audiences: AUDIENCES },
]

export function registrationStep(client: number, change: Partial<Registration>): Step {
  return {
    check: () => true,
    async run(model, real) {
      const by = model.clients[client]!
      by.registration = { ...by.registration, ...change }
      await changeClient(real, client, change)
    },
    toString: () => `client ${client} gets ${JSON.stringify(change)}`,
  }
}

export function disableClientStep(client: number, disabled: boolean): Step {
  return {
    check: (model) => model.clients[client]!.disabled !== disabled,
    async run(model, real) {
      model.clients[client]!.disabled = disabled
      await changeClient(real, client, { disabled })
    },
    toString: () => `client ${client} is ${disabled ? 'disabled' : 'enabled'}`,
  }
}

export function endClientStep(client: number): Step {
  return {
    check: () => true,
    async run(model, real) {
      model.clients[client]!.epoch += 1
      await changeClient(real, client)
    },
    toString: () => `every session of client ${client} is ended`,
  }
}

/** Gives each client back what was taken from it: its sessions have waited. */
export async function makeWhole(model: Model, real: Real): Promise<void> {
  await Promise.all(
    model.clients.map(async (by, client) => {
      if (!by.disabled && by.registration === WHOLE) return
      by.disabled = false
      by.registration = WHOLE
      await changeClient(real, client, { ...WHOLE, disabled: false })
    }),
  )
}

/** As the command line does it. Without a change all sessions end. */
async function changeClient({ world, population }: Real, client: number, change?: ClientChange) {
  const { clients } = world.machine.store
  const clientId = population.clientIds[client]!
  const now = (await clients.find(clientId))!
  const whole = change ? withRegistration(now, change) : withoutSessions(now)
  strictEqual(await clients.change(clientId, whole), true)
}
