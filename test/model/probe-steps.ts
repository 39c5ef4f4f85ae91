import { strictEqual } from 'node:assert/strict'
import { claimsOf } from '../support/http-client.ts'
import { type Caller, introspect, type Subject } from './law.ts'
import type { Granted, Model } from './model.ts'
import { holdRecord, holdStatus, type Real, type Step, tokenOf } from './real.ts'
import { type Route, told } from './refresh-steps.ts'

/** Asks about a token, which must change nothing. @param which as in `revokeStep`. */
export function probeStep(
  family: number,
  which: 'access token' | number,
  by: 'its client' | Caller,
  route: Route,
): Step {
  return {
    check: (model) => family < model.families.length,
    async run(model, real) {
      const subject = which === 'access token' ? which : tokenOf(model, real, family, which)?.presented
      const caller = by === 'its client' ? model.families[family]!.client : by
      if (subject !== undefined) await probe(model, real, family, { ...route, subject, caller })
      await holdRecord(model, real, family)
    },
    toString: () => `${by} asks about token ${which} of family ${family}, ${told(route)}`,
  }
}

/** Holds what a caller is told of a token against the law. */
export async function probe(
  model: Model,
  real: Real,
  index: number,
  { subject, caller, ...route }: Route & { readonly subject: Subject; readonly caller: Caller },
): Promise<void> {
  const family = real.families[index]!
  const expected = introspect(model, index, subject, caller)
  const token = subject === 'access token' ? family.accessToken : family.tokens.get(subject)
  const { user, clientIds, post } = real.population
  const answer = await post({ ...route, client: caller }, '/introspect', { token })
  if ('error' in expected) return holdStatus(answer, expected)
  const { active, sid, sub, client_id, scope, aud } = answer.json ?? {}
  const what = `${caller} on ${subject === 'access token' ? subject : `generation ${subject}`}`
  strictEqual(active, expected.active, what)
  if (!expected.active) {
    strictEqual(answer.text, '{"active":false}', what)
    return
  }
  strictEqual(
    `${sid} ${sub} ${client_id}`,
    `${family.sid} ${user.sub} ${clientIds[model.families[index]!.client]}`,
  )
  const granted = expected.left ?? grantedIn(family.accessToken)
  strictEqual(scope, granted.scope.join(' '))
  strictEqual([aud].flat().join(' '), granted.audience.join(' '))
}

/** Whatever became of the grant since: this is what the token says to whoever does not ask. */
function grantedIn(accessToken: string): Granted {
  const { scope, aud } = claimsOf(accessToken)
  return { scope: [String(scope)], audience: [aud].flat() as string[] }
}
