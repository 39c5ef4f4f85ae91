import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Test, test } from 'tap'
import { DEFAULT_ALGS, ensureKeys } from '../../src/keys/key-files.ts'
import { type KeysInUse, watchKeys } from '../../src/keys/key-watch.ts'
import type { RingName } from '../../src/keys/rings.ts'
import { generate, promote, replaceLeaked, rotate } from '../../src/keys/rotation.ts'
import { keepRotating } from '../../src/keys/unattended.ts'
import { refreshRingSettings, signingRingSettings } from '../../src/tokens/key-ring.ts'
import { idsIn, passTime, ringFileOf, writtenRing } from '../support/key-rings.ts'
import { until } from '../support/until.ts'

/** How often a watch looks by itself. */
const LOOK_EVERY_MS = 1000

/** A KEYS_DIR, and what is seen of it. */
async function watched(t: Test, algorithms = DEFAULT_ALGS) {
  const folder = join(t.testdir(), 'keys')
  await ensureKeys(folder, algorithms)
  const changes: [before: KeysInUse, after: KeysInUse][] = []
  const faults: string[] = []
  let recoveries = 0
  const watch = await watchKeys(folder, algorithms, {
    onChange: (...change) => changes.push(change),
    onFault: ({ message }) => faults.push(message),
    onRecovery: () => {
      recoveries += 1
    },
  })
  t.teardown(() => watch.close())
  const ring = (ring: RingName) => ({
    folder,
    ring,
    settings: ring === 'refresh' ? refreshRingSettings(0, 3600) : signingRingSettings(0),
  })
  return { folder, watch, changes, faults, ring, recoveries: () => recoveries }
}

test('a ring that vanishes while it is signed with is an accident, and its keys stay', async (t) => {
  const { folder, watch, changes, faults, recoveries } = await watched(t, ['RS256', 'ES256'])
  const [ring, away] = [join(folder, 'signing-es256'), join(folder, '..', 'away')]
  const { kid } = watch.signing.of('ES256')
  renameSync(ring, away)
  await until('it is noticed', () => faults.length === 1)
  t.match(faults[0], /signing-es256 is missing/)
  t.equal(watch.signing.of('ES256').kid, kid)
  t.equal(watch.signing.published.length, 2)
  renameSync(away, ring)
  await until('it is back', () => recoveries() === 1)
  t.strictSame(changes, [])
})

test('what changes in KEYS_DIR is taken up', async (t) => {
  const { watch, changes, faults, ring } = await watched(t)
  const { signing, refresh } = watch
  const first = signing.active
  const firstSecret = refresh.activeId
  t.strictSame(signing.published, [first])

  const id = await generate(ring('signing'))
  await until('the new key is published', () => signing.published.length === 2)
  t.equal(signing.active.kid, first.kid, 'and does not sign')
  t.equal(changes.length, 1)
  t.strictSame([changes[0]?.[0].signing.ids.length, changes[0]?.[1].signing.ids.length], [1, 2])

  await promote(ring('signing'), id, true)
  await until('it signs', () => signing.active.kid === id)
  t.equal(refresh.activeId, firstSecret, 'the other ring stays')

  const secret = await generate(ring('refresh'))
  await promote(ring('refresh'), secret, true)
  await until('tokens are made under the new secret', () => refresh.activeId === secret)
  t.ok(refresh.macKeys.has(firstSecret), 'and those under the old one verify')
  await replaceLeaked(ring('refresh'), firstSecret)
  await until('until it has leaked', () => !refresh.macKeys.has(firstSecret))
  t.strictSame(faults, [])
})

test('what cannot be read changes nothing, and is told once, with the file’s name', async (t) => {
  const { folder, watch, changes, faults, recoveries } = await watched(t)
  const { active } = watch.signing
  const path = ringFileOf(folder, 'signing')
  const good = readFileSync(path)
  await t.resolves(watch.lookNow(), 'all is well')

  writeFileSync(path, 'x')
  await until('the fault is told', () => faults.length > 0)
  t.ok(faults[0]?.startsWith(`${path} is no list of keys`))
  t.equal(watch.signing.active, active, 'the keys that were read stay in use')
  await t.rejects(watch.lookNow(), { name: 'KeyFileError' }, 'and who asks is told that nobody can say')
  await t.rejects(watch.lookNow(), { name: 'KeyFileError' }, 'again and again')
  t.equal(faults.length, 1)

  writeFileSync(path, good)
  await until('it can be read again', () => recoveries() === 1)
  await t.resolves(watch.lookNow())
  t.strictSame(changes, [], 'the same keys are no change')

  chmodSync(path.replace(/ring.*/, ''), 0o755)
  await until('a folder that is open to others is a fault', () => faults.length === 2)
  t.match(faults[1], /is open to other users of this machine/)
  chmodSync(path.replace(/ring.*/, ''), 0o700)
  await until('until it is closed', () => recoveries() === 2)
})

test('who asks sees what was there when it asked; and not at any rate', async (t) => {
  const { watch, ring } = await watched(t)
  for (let i = 0; i < 4; i += 1) {
    const id = await generate(ring('refresh'))
    await watch.lookNow()
    t.ok(watch.refresh.macKeys.has(id))
  }
  const begin = performance.now()
  await Promise.all(Array.from({ length: 1000 }, () => watch.lookNow()))
  await Promise.all(Array.from({ length: 1000 }, () => watch.lookNow()))
  t.ok(performance.now() - begin > 200, 'two thousand questions wait for one or two looks')
})

test('a watch that is closed while somebody asks lets go', async (t) => {
  const { watch, ring } = await watched(t)
  await watch.lookNow()
  const asked = watch.lookNow()
  await watch.close()
  await t.resolves(asked)
  const known = watch.signing.published
  await generate(ring('signing'))
  await sleep(2 * LOOK_EVERY_MS)
  t.equal(watch.signing.published, known)
})

test('rotation that nobody has to think of', async (t) => {
  const { folder, watch, ring } = await watched(t)
  let idle = 86_400
  const faults: string[] = []
  const start = () =>
    keepRotating({
      folder,
      interval: 3600,
      longestIdle: async () => {
        if (idle === 0) throw new Error('the store does not answer')
        return idle
      },
      onFault: ({ message }) => faults.push(message),
    })
  // Two of them, as of two servers.
  const rotations = [start(), start()]
  t.teardown(() => Promise.all(rotations.map((rotation) => rotation.close())))
  await until('there is a next key', () => watch.signing.published.length === 2)
  await until('and a next secret', () => watch.refresh.macKeys.size === 2)
  for (const use of ['signing', 'refresh'] as const) t.equal(writtenRing(folder, use).length, 2)
  const [next = ''] = idsIn(folder, 'refresh', 'next')
  passTime(folder, 'signing', 3500)
  passTime(folder, 'refresh', 3500)
  t.strictSame((await rotate({ ...ring('refresh'), settings: refreshRingSettings(3600, 1) })).taken, [])

  idle = 100_000
  for (const use of ['signing', 'refresh'] as const) passTime(folder, use, 100)
  await until('the next secret is used', () => watch.refresh.activeId === next)
  await until('and the one after it is there', () => watch.refresh.macKeys.size === 3)
  t.equal(
    writtenRing(folder, 'refresh').find(({ state }) => state === 'retiring')?.life,
    100_000,
    'how long sessions live is asked for when it matters',
  )
  await until('so is the next key', () => watch.signing.published.length === 3)

  passTime(folder, 'signing', 86_400 + 500)
  await until('what is over goes', () => idsIn(folder, 'signing', 'retired').length === 1)
  t.strictSame(faults, [])

  idle = 0
  passTime(folder, 'refresh', 3600)
  await until('trouble is told', () => faults.length > 0)
  t.match(new Set(faults), new Set(['the store does not answer']))
  const [after = ''] = idsIn(folder, 'refresh', 'next')
  t.equal(watch.refresh.activeId, next, 'and nothing is done by guesswork')
  idle = 86_400
  await until('until it has passed', () => watch.refresh.activeId === after)
})
