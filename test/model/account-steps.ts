import { strictEqual } from 'node:assert/strict'
import { withoutAccess, withoutSessions, withPassword } from '../../src/accounts/user.ts'
import type { Step } from './real.ts'

/** What the operator does to the user. A password is one that is kept here, wherever the user lived before. */
export const ACCOUNT_CHANGES = ['disable', 'enable', 'password', 'sign out everywhere', 'delete'] as const
export type AccountChange = (typeof ACCOUNT_CHANGES)[number]

export function accountStep(what: AccountChange): Step {
  return {
    // Nothing of a user comes back, and none of the others is left to be done.
    check: (model) => !model.user.deleted,
    async run(model, real) {
      const { user: held } = model
      const { users } = real.world.machine.store
      const { user, passwordHashes } = real.population
      const now = { ...user, epoch: real.userEpoch }
      if (what !== 'enable') held.epoch += 1
      if (what === 'delete') {
        held.deleted = true
        real.population.forgetUser()
        strictEqual(await users.delete(now), true)
        return
      }
      if (what === 'password') {
        held.password = 1 - held.password
        held.livesElsewhere = false
      }
      if (what === 'disable' || what === 'enable') held.disabled = what === 'disable'
      const change = {
        disable: () => withoutAccess(now),
        enable: () => ({ disabled: false }),
        password: () => withPassword(now, passwordHashes[held.password]!),
        'sign out everywhere': () => withoutSessions(now),
      }[what]()
      strictEqual(await users.change(user.sub, change), true)
      if ('epoch' in change) real.userEpoch = change.epoch
    },
    toString: () => `the user: ${what}`,
  }
}
