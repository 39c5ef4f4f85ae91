import { strictEqual } from 'node:assert/strict'
import { claimsOf } from '../support/http-client.ts'
import * as law from './law.ts'
import { expectInLog, holdRecord, holdStatus, holdTokens, type Step, tokenOf } from './real.ts'
import { type Route, told } from './refresh-steps.ts'
import { PASSWORDS } from './world.ts'

const MAX_FAMILIES = 5

/** Also how each history begins. */
export function signInStep(client: number, password: number, route: Route): Step {
  return {
    check: (model) => model.families.length < MAX_FAMILIES,
    async run(model, real) {
      const { world, population, families } = real
      const expected = law.signIn(model, { client, password, sender: route.sender })
      const answer = await population.post({ ...route, client }, '/token', {
        grant_type: 'password',
        username: population.user.username,
        password: PASSWORDS[password],
      })
      expectInLog(real, 'password', expected)
      holdStatus(answer, expected)
      const accessToken = String(answer.json?.access_token)
      const sid = expected.tokens ? String(claimsOf(accessToken).sid) : ''
      const family = { sid, tokens: new Map(), accessToken, writes: [] }
      holdTokens(family, answer, expected)
      if (!expected.tokens) return
      families.push({ ...family, writes: [{ snapshot: await world.machine.take(sid), at: model.now }] })
      await holdRecord(model, real, families.length - 1)
    },
    toString: () => `sign in at client ${client} with password ${password}, ${told(route)}`,
  }
}

/** @param which the access token, or the refresh token of this generation relative to the store's. */
export function revokeStep(
  family: number,
  which: 'access token' | number,
  by: 'its client' | number,
  route: Route,
): Step {
  return {
    check: (model) => family < model.families.length,
    async run(model, real) {
      const token =
        which === 'access token'
          ? real.families[family]!.accessToken
          : tokenOf(model, real, family, which)?.token
      if (token === undefined) return
      const client = by === 'its client' ? model.families[family]!.client : by
      const expected = law.revoke(model, family, client)
      real.events.push(...(expected.events ?? []))
      holdStatus(await real.population.post({ ...route, client }, '/revoke', { token }), expected)
      await holdRecord(model, real, family)
    },
    toString: () => `${by} revokes family ${family} by token ${which}, ${told(route)}`,
  }
}

export function revokeSessionStep(family: number): Step {
  return {
    check: (model) => family < model.families.length,
    async run(model, real) {
      const outcome = await real.world.machine.store.families.revoke(real.families[family]!.sid, 'operator')
      strictEqual(outcome, law.revokeSession(model, family))
      await holdRecord(model, real, family)
    },
    toString: () => `the operator ends family ${family}`,
  }
}
