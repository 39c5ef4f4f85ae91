import { strictEqual } from 'node:assert/strict'
import { makeWhole } from './client-steps.ts'
import { type Model, overBy } from './model.ts'
import { probe } from './probe-steps.ts'
import { ask, type Real } from './real.ts'

/** What must hold of every family, whatever has happened: one live lineage, or none and for good. */
export async function holdEnding(model: Model, real: Real): Promise<void> {
  await makeWhole(model, real)
  await Promise.all(model.families.map((_, index) => holdFamily(model, real, index)))
}

async function holdFamily(model: Model, real: Real, index: number): Promise<void> {
  const family = model.families[index]!
  const { tokens } = real.families[index]!
  const { client } = family
  const route = { sender: 0, server: index % 2 }
  const present = (presented: number) =>
    ask(model, real, index, { ...route, client, presented, token: tokens.get(presented)! })
  const newest = () => Math.max(...tokens.keys())

  // The client goes on with the newest token that it has. Where that is old, because the answers with those after it were
  // lost for too long, the session ends by it, or it is observed.
  for (let turn = 0; turn < 2; turn += 1) {
    if (overBy(model, family) === undefined) await present(newest())
  }
  await probe(model, real, index, { ...route, subject: 'access token', caller: 'resource server' })
  for (const subject of tokens.keys()) {
    await probe(model, real, index, { ...route, subject, caller: client })
  }
  if (overBy(model, family) === undefined) {
    strictEqual(newest(), family.held.generation, 'the newest token is the one that the store goes by')
    return
  }
  const count = tokens.size
  for (const generation of [...tokens.keys()]) await present(generation)
  strictEqual(tokens.size, count, 'nothing comes of a session that is over')
}
