import { strictEqual } from 'node:assert/strict'
import * as law from './law.ts'
import { ask, expectInLog, holdRecord, holdTokenAnswer, type Step, tokenOf } from './real.ts'

/** Where a request comes from, and to which server it goes. */
export interface Route {
  readonly sender: number
  readonly server: number
}

export function refreshStep(family: number, which: number, scope: string | undefined, route: Route): Step {
  return {
    check: (model) => family < model.families.length,
    async run(model, real) {
      const known = tokenOf(model, real, family, which)
      const { client } = model.families[family]!
      if (known) await ask(model, real, family, { ...known, ...route, client, scope })
    },
    toString: () => `refresh family ${family} with token ${which}, scope ${scope}, ${told(route)}`,
  }
}

export function strangerStep(family: number, which: number, client: number, route: Route): Step {
  return {
    check: (model) => family < model.families.length && model.families[family]!.client !== client,
    async run(model, real) {
      const known = tokenOf(model, real, family, which)
      if (known) await ask(model, real, family, { ...known, ...route, client })
    },
    toString: () => `client ${client} presents token ${which} of family ${family}, ${told(route)}`,
  }
}

export function lostAnswerStep(family: number, which: number, route: Route): Step {
  return {
    check: (model) => family < model.families.length,
    async run(model, real) {
      const known = tokenOf(model, real, family, which)
      if (!known) return
      const { client } = model.families[family]!
      expectInLog(real, 'refresh_token', law.refresh(model, family, { ...known, ...route, client }))
      await real.population.postAndLoseAnswer({ ...route, client }, '/token', {
        grant_type: 'refresh_token',
        refresh_token: known.token,
      })
      await holdRecord(model, real, family)
    },
    toString: () => `the answer to token ${which} of family ${family} is lost, ${told(route)}`,
  }
}

/** A thief who keeps pace: each rotation of the owner is repeated, from elsewhere, at the other server. */
export function lockstepStep(family: number, turns: number, { sender, server }: Route, thief: number): Step {
  return {
    check: (model) => family < model.families.length,
    async run(model, real) {
      const { client } = model.families[family]!
      for (let turn = 0; turn < turns; turn += 1) {
        const known = tokenOf(model, real, family, 0)
        if (!known) return
        await ask(model, real, family, { ...known, client, sender, server })
        // Twice, which counts once.
        for (const at of [1 - server, server]) {
          await ask(model, real, family, { ...known, client, sender: thief, server: at })
        }
      }
    },
    toString: () =>
      `sender ${thief} repeats ${turns} refreshes of family ${family}, ${told({ sender, server })}`,
  }
}

/** Two tabs of one browser: the same token at both servers at once. */
export function twiceStep(family: number, { sender }: Route): Step {
  return {
    // The second of a strict client is a thief, and which of them that is nobody can say.
    check: (model) =>
      family < model.families.length && model.clients[model.families[family]!.client]!.policy !== 'strict',
    async run(model, real) {
      const known = tokenOf(model, real, family, 0)
      if (!known) return
      const { client } = model.families[family]!
      const form = { grant_type: 'refresh_token', refresh_token: known.token }
      const answers = await Promise.all(
        [0, 1].map((server) => real.population.post({ client, sender, server }, '/token', form)),
      )
      // Which of them came first is not for us to say; both are told the same.
      for (const answer of answers) {
        holdTokenAnswer(real, family, answer, law.refresh(model, family, { ...known, client, sender }))
      }
      const [one, other] = answers
      strictEqual(one?.json?.access_token, other?.json?.access_token, 'one access token, to the letter')
      await holdRecord(model, real, family)
    },
    toString: () => `two refreshes of family ${family} at once, sender ${sender}`,
  }
}

export const told = ({ sender, server }: Route) => `sender ${sender}, server ${server}`
