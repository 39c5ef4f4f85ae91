import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore } from '../../src/stores/open-store.ts'
import type { Acknowledged } from '../stores/busy-writer.ts'
import { count } from '../support/count.ts'
import { createReaper } from '../support/reaper.ts'
import { until } from '../support/until.ts'

const WRITER = fileURLToPath(new URL('../stores/busy-writer.js', import.meta.url))
/** Of a writer's life, from its first word on: long enough for hundreds of transactions. */
const MOST_MS = 250

/**
 * Lets a writer work on one LMDB, kills it at any moment, and looks whether all that it was told is there; again and
 * again, on the same file.
 */
export async function holdKills(t: Test, kills: number): Promise<void> {
  const url = `lmdb:${join(t.testdir(), 'data')}`
  const all: Acknowledged[] = []
  for (let round = 0; round < kills; round += 1) {
    // Once all that it writes is begun, wherever that takes longer than its life.
    const from = round === 0 ? 'revocation' : ''
    const lines = await killedWriter(url, from, MOST_MS * Math.random())
    all.push(...lines)
    const lost = await lostOf(url, all)
    t.strictSame(lost, [], `kill ${round + 1}: of ${all.length} acknowledged all are there`)
  }
  count(t, {
    what: 'kills of a writer',
    number: kills,
    on: 'lmdb',
    more: `${all.length} acknowledged writes`,
  })
  for (const what of ['user', 'sign-in', 'rotation', 'revocation'] as const) {
    t.ok(
      all.some((line) => line.what === what),
      `there was a ${what}`,
    )
  }
}

/** @param from what it has said before the time of its life begins. */
async function killedWriter(url: string, from: string, lifeMs: number): Promise<Acknowledged[]> {
  const reaper = createReaper()
  const child = spawn(process.execPath, [WRITER, url], { stdio: ['ignore', 'pipe', 'inherit'] })
  reaper.watch(child.pid)
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const closed = once(child, 'close')
  await until('it writes', () => child.exitCode !== null || (said !== '' && said.includes(from)))
  await sleep(lifeMs)
  child.kill('SIGKILL')
  await closed
  reaper.watch(undefined)
  await reaper.finish()
  return said
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as Acknowledged)
}

/** What was acknowledged and is not there. */
async function lostOf(url: string, all: readonly Acknowledged[]): Promise<Acknowledged[]> {
  const store = await openStore(parseStoreUrl(url), {
    waitReplicas: 0,
    sweeps: false,
    onChange: () => undefined,
  })
  const lost: Acknowledged[] = []
  try {
    for (const line of all) {
      if (line.what === 'user') {
        if (!(await store.users.find(line.sub))) lost.push(line)
        continue
      }
      const { family } = await store.families.look(line.id)
      const isKept =
        family !== undefined &&
        (line.what !== 'revocation' || family.revoked !== undefined) &&
        (line.what !== 'rotation' || family.generation >= line.generation)
      if (!isKept) lost.push(line)
    }
    return lost
  } finally {
    await store.close()
  }
}
