import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { ensureKeys, loadKeys, newKey } from '../../src/keys/key-files.ts'
import { KEY_USES, RING_NAMES, type RingName, signingRingOf } from '../../src/keys/rings.ts'
import {
  generate,
  promote,
  type RingOptions,
  readRing,
  replaceLeaked,
  retire,
  rotate,
} from '../../src/keys/rotation.ts'
import {
  type Ring,
  refreshRingSettings,
  SETTLING,
  signingRingSettings,
  withNext,
  withPromoted,
  withRetired,
} from '../../src/tokens/key-ring.ts'
import { SIGNING_ALGS } from '../../src/tokens/signing-key.ts'
import { idsIn, passTime, ringFileOf, writtenRing } from '../support/key-rings.ts'
import { nextMessage } from '../support/next-message.ts'

const ROTATOR = fileURLToPath(new URL('./rotator.js', import.meta.url))
const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))
const IDLE = 3600

/** A ring of a new KEYS_DIR, with a clock that goes on when it is told. */
async function newRing(t: Test, name: RingName) {
  const folder = join(t.testdir(), 'keys')
  const algorithms = SIGNING_ALGS.filter((alg) => signingRingOf(alg) === name)
  await ensureKeys(folder, algorithms.length > 0 ? algorithms : undefined)
  let now = Date.now()
  const settings = name === 'refresh' ? refreshRingSettings(0, IDLE) : signingRingSettings(0)
  const options: RingOptions = { folder, ring: name, settings, clock: () => now }
  const inState = (state: string) => idsIn(folder, name, state)
  return {
    folder,
    home: join(folder, name),
    options,
    settings,
    now: () => now,
    pass: (seconds: number) => {
      now += 1000 * seconds
    },
    inState,
    /** What a server would go by. */
    async inUse() {
      const { signing, refresh } = await loadKeys(folder)
      return name === 'refresh'
        ? { active: refresh.activeId, all: [...refresh.macKeys.keys()] }
        : { active: signing.active.kid, all: signing.published.map(({ kid }) => kid) }
    },
  }
}

for (const name of RING_NAMES) {
  test(`rotating again and again, ${name}`, async (t) => {
    const ring = await newRing(t, name)
    const { active: first } = await ring.inUse()
    const begun = await rotate(ring.options)
    t.match(begun.taken, [{ kind: 'generate' }])
    const second = begun.taken[0]?.id ?? ''
    t.equal(begun.next.until, ring.now() + 1000 * ring.settings.spread)
    t.strictSame((await ring.inUse()).all.sort(), [first, second].sort(), 'the next key is there')
    t.equal((await ring.inUse()).active, first, 'and not used')

    const files = readdirSync(ring.home).sort()
    t.strictSame(await rotate(ring.options), { taken: [], next: begun.next }, 'once more: nothing to do')
    t.strictSame(readdirSync(ring.home).sort(), files, 'and nothing is written')

    ring.pass(ring.settings.spread)
    const promoted = await rotate(ring.options)
    t.match(promoted.taken, [{ kind: 'promote', id: second }, { kind: 'generate' }])
    t.equal((await ring.inUse()).active, second)
    t.strictSame(ring.inState('retiring'), [first])
    const third = promoted.taken[1]?.id ?? ''

    ring.pass(ring.settings.spread)
    t.match((await rotate(ring.options)).taken, [{ kind: 'promote', id: third }, { kind: 'generate' }])
    ring.pass(ring.settings.life + SETTLING - ring.settings.spread - 1)
    const kinds = (await rotate(ring.options)).taken.map(({ kind }) => kind)
    t.notOk(kinds.includes('retire'), 'a second before the last token under the first key is over')
    ring.pass(1)
    t.match((await rotate(ring.options)).taken, [{ kind: 'retire', id: first }])
    t.notOk((await ring.inUse()).all.includes(first), 'then it is gone')
    const [aside = ''] = readdirSync(join(ring.home, 'retired'))
    t.ok(aside.startsWith(first), 'and its file is kept aside')
    t.equal(statSync(join(ring.home, 'retired')).mode & 0o777, 0o700)
    t.equal(statSync(join(ring.home, 'retired', aside)).mode & 0o777, 0o600)

    copyFileSync(join(ring.home, 'retired', aside), join(ring.home, aside))
    t.notOk((await ring.inUse()).all.includes(first), 'put back by mistake, it does not come to life')
    await rotate(ring.options)
    t.notOk(existsSync(join(ring.home, aside)), 'and is moved aside again')
    for (const name of readdirSync(ring.home)) {
      if (name !== 'retired') t.equal(statSync(join(ring.home, name)).mode & 0o777, 0o600, name)
    }
  })

  test(`what is refused changes nothing, ${name}`, async (t) => {
    const ring = await newRing(t, name)
    const { active: first } = await ring.inUse()
    const expectRefused = async (what: string, refused: object, attempt: () => Promise<object>) => {
      const before = readFileSync(ringFileOf(ring.folder, name), 'utf8')
      t.strictSame(await attempt(), refused, what)
      t.equal(readFileSync(ringFileOf(ring.folder, name), 'utf8'), before, `${what}: nothing has changed`)
    }
    await expectRefused('no next key', { refused: 'unknown' }, () => promote(ring.options, undefined, true))
    await expectRefused('a key that is not', { refused: 'unknown' }, () => promote(ring.options, 'x', true))
    await expectRefused('to retire such a one', { refused: 'unknown' }, () => retire(ring.options, 'x', true))
    await expectRefused('to drop it', { refused: 'unknown' }, () => replaceLeaked(ring.options, 'x'))
    await expectRefused('the active key', { refused: 'active' }, () => promote(ring.options, first, true))
    await expectRefused('to retire it', { refused: 'active' }, () => retire(ring.options, first, true))

    const second = await generate(ring.options)
    const known = ring.now() + 1000 * ring.settings.spread
    const tooSoon = { refused: 'too_soon', until: known }
    await expectRefused('not known to all', tooSoon, () => promote(ring.options, undefined, false))
    ring.pass(ring.settings.spread - 1)
    await expectRefused('a second too soon', tooSoon, () => promote(ring.options, second, false))
    ring.pass(1)
    t.strictSame(await promote(ring.options, undefined, false), { kind: 'promote', id: second })
    const over = ring.now() + 1000 * (ring.settings.life + SETTLING)
    await expectRefused('its tokens live', { refused: 'too_soon', until: over }, () =>
      retire(ring.options, first, false),
    )
    t.strictSame(await promote(ring.options, first, false), { kind: 'promote', id: first }, 'taken back')
    t.strictSame(ring.inState('retiring'), [second])
    t.strictSame(await retire(ring.options, second, true), { kind: 'retire', id: second }, 'by force')
    await expectRefused('retired for good', { refused: 'retired' }, () => promote(ring.options, second, true))
    await expectRefused('to retire twice', { refused: 'retired' }, () => retire(ring.options, second, true))
    await expectRefused('to drop it', { refused: 'retired' }, () => replaceLeaked(ring.options, second))

    const third = await generate(ring.options)
    t.strictSame(
      await retire(ring.options, third, false),
      { kind: 'retire', id: third },
      'never used: at once',
    )
    t.strictSame(await ring.inUse(), { active: first, all: [first] })
  })

  test(`a leak, ${name}`, async (t) => {
    t.test('of the active key alone: the next one takes over', async (t) => {
      const ring = await newRing(t, name)
      const { active: leaked } = await ring.inUse()
      const next = await generate(ring.options)
      t.strictSame(await replaceLeaked(ring.options, leaked), {
        taken: [
          { kind: 'promote', id: next },
          { kind: 'retire', id: leaked },
        ],
      })
      t.strictSame(await ring.inUse(), { active: next, all: [next] })
    })
    t.test('of the active key, and there is no other: a new one does', async (t) => {
      const ring = await newRing(t, name)
      const { active: leaked } = await ring.inUse()
      const result = await replaceLeaked(ring.options, leaked)
      const { active, all } = await ring.inUse()
      t.not(active, leaked)
      t.strictSame(all, [active])
      t.strictSame(result, {
        taken: [
          { kind: 'generate', id: active },
          { kind: 'promote', id: active },
          { kind: 'retire', id: leaked },
        ],
      })
    })
    t.test('of another key: it goes, and the active one stays', async (t) => {
      const ring = await newRing(t, name)
      const { active } = await ring.inUse()
      const next = await generate(ring.options)
      t.strictSame(await replaceLeaked(ring.options, next), { taken: [{ kind: 'retire', id: next }] })
      t.strictSame(await ring.inUse(), { active, all: [active] })
    })
    t.test('of all: what was there is gone, the next key too', async (t) => {
      const ring = await newRing(t, name)
      await generate(ring.options)
      await promote(ring.options, undefined, true)
      await generate(ring.options)
      const { all } = await ring.inUse()
      t.equal(all.length, 3)
      await replaceLeaked(ring.options, undefined)
      const { active, all: left } = await ring.inUse()
      t.strictSame(left, [active])
      t.notOk(all.includes(active))
      t.strictSame(ring.inState('retired').sort(), all.sort())
      t.equal(readdirSync(join(ring.home, 'retired')).length, 3)
    })
  })
}

test('a leak that two operators answer at once: one key is active, and it is there', async (t) => {
  for (const alone of [false, true]) {
    const { folder, options, settings, inUse, inState } = await newRing(t, 'refresh')
    const { active: leaked } = await inUse()
    if (alone) await generate(options)
    // The other one’s command runs from end to end when this one has its heir, and before it reads the ring again.
    let looks = 0
    let other: ReturnType<typeof spawnSync> | undefined
    const clock = () => {
      looks += 1
      if (!other && looks > 1 && inState('next').length > 0) {
        const args = [MAIN, 'keys', 'rotate', '--emergency', '--use', 'refresh', '--yes']
        other = spawnSync(process.execPath, args, { env: { ...process.env, KEYS_DIR: folder } })
      }
      return Date.now()
    }
    await replaceLeaked({ folder, ring: 'refresh', settings, clock }, alone ? leaked : undefined)
    t.equal(other?.status, 0, String(other?.stderr))
    await t.resolves(loadKeys(folder), 'a server can start')
    t.equal(inState('active').length, 1)
    t.ok(inState('retired').includes(leaked))
  }
})

test('the longest life under a secret counts, though it has been shortened before it is followed', async (t) => {
  const { options, pass, settings, inUse } = await newRing(t, 'refresh')
  const { active } = await inUse()
  await rotate({ ...options, settings: refreshRingSettings(0, 90 * 86_400) })
  pass(settings.spread)
  await rotate(options)
  const retiring = (await readRing(options)).find(({ state }) => state === 'retiring')
  t.match(retiring, { id: active, life: 90 * 86_400 })
})

test('processes that rotate at once take each step once', async (t) => {
  const folder = join(t.testdir(), 'keys')
  await ensureKeys(folder)
  const rotators = Array.from({ length: 4 }, () => fork(ROTATOR, { execArgv: [] }))
  t.teardown(() => rotators.forEach((rotator) => void rotator.kill()))
  await Promise.all(rotators.map(nextMessage))
  const rounds = 4
  for (let round = 0; round < rounds; round += 1) {
    const answers = await Promise.all(rotators.map((rotator) => ask(rotator, folder)))
    t.strictSame(
      answers.flatMap(({ taken, error }) => taken ?? [error]).sort(),
      round === 0 ? ['generate', 'generate'] : ['generate', 'generate', 'promote', 'promote'],
      `round ${round}: one step each, for both rings`,
    )
    for (const use of KEY_USES) {
      t.equal(idsIn(folder, use, 'active').length, 1)
      t.equal(idsIn(folder, use, 'next').length, 1)
      t.strictSame(
        readdirSync(join(folder, use)).filter((name) => name.startsWith('.')),
        [],
        'no drafts are left',
      )
      t.equal(
        readdirSync(join(folder, use)).filter((name) => /\.(pem|key)$/.test(name)).length,
        writtenRing(folder, use).length,
        'and no key that nobody knows of',
      )
      passTime(folder, use, 1000)
    }
    await t.resolves(loadKeys(folder))
  }
})

async function ask(rotator: ChildProcess, folder: string): Promise<{ taken?: string[]; error?: string }> {
  rotator.send(folder)
  return nextMessage(rotator)
}

test('a process that ends in the middle of a step leaves what can be read and gone on from', async (t) => {
  const whole = await newRing(t, 'signing')
  await rotate(whole.options)
  const [first = ''] = whole.inState('active')
  const [second = ''] = whole.inState('next')
  const written = writtenRing(whole.folder, 'signing').map((key) => ({
    ...key,
    published: Date.parse(key.published),
    since: Date.parse(key.since),
  })) as unknown as Ring
  const { clock = Date.now, settings } = whole.options
  /** As the process would have: the ring's file, and no more. */
  const write = (folder: string, ring: Ring) => {
    const keys = ring.map((key) => ({
      ...key,
      published: new Date(key.published).toISOString(),
      since: new Date(key.since).toISOString(),
    }))
    writeFileSync(join(folder, 'signing', 'ring.3.json'), JSON.stringify({ keys }), { mode: 0o600 })
  }
  const promoted = withPromoted(written, second, clock(), settings)
  const { id: third, name, text } = await newKey('signing')

  interface Row {
    readonly when: string
    readonly damage: (folder: string) => void
    readonly active?: string
    readonly published: string[]
  }
  const rows: Row[] = [
    {
      when: 'a draft of a key is half written',
      damage: (folder) => writeFileSync(join(folder, 'signing', '.draft-0123'), text.slice(0, 500)),
      published: [first, second],
    },
    {
      when: 'a draft of a ring is half written',
      damage: (folder) => writeFileSync(join(folder, 'signing', '.draft-4567'), '{"keys": ['),
      published: [first, second],
    },
    {
      when: 'a key is entered, and its file does not have its name yet',
      damage: (folder) => {
        write(folder, withNext(written, third, clock()))
        writeFileSync(join(folder, 'signing', '.draft-89ab'), text, { mode: 0o600 })
      },
      published: [first, second],
    },
    {
      when: 'a key is there that was never entered',
      damage: (folder) => writeFileSync(join(folder, 'signing', name), text, { mode: 0o600 }),
      published: [first, second, third],
    },
    {
      when: 'a key is retired, and its file is where it was',
      damage: (folder) => write(folder, withRetired(promoted, [first], clock())),
      active: second,
      published: [second],
    },
    {
      when: 'the ring of one number more is a draft with its name',
      damage: (folder) => renameSync(ringFileOf(folder, 'signing'), join(folder, 'signing', 'ring.7.json')),
      published: [first, second],
    },
  ]
  for (const { when, damage, active = first, published } of rows) {
    const folder = join(whole.folder, '..', when)
    cpSync(whole.folder, folder, { recursive: true })
    damage(folder)
    const { signing } = await loadKeys(folder)
    t.equal(signing.active.kid, active, when)
    t.strictSame(signing.published.map(({ kid }) => kid).sort(), published.sort(), `${when}: published`)

    // An hour later what was left behind is put right by whoever comes next.
    for (const name of readdirSync(join(folder, 'signing'))) {
      const earlier = new Date(Date.now() - 7_200_000)
      utimesSync(join(folder, 'signing', name), earlier, earlier)
    }
    const later = { ...whole.options, folder, clock: () => clock() + 7_200_000 }
    const { next } = await rotate(later)
    t.ok(next.until > later.clock(), `${when}: all that is due is done`)
    const names = readdirSync(join(folder, 'signing'))
    t.strictSame(
      names.filter((name) => name.startsWith('.')),
      [],
      `${when}: cleared away`,
    )
    const files = names.filter((name) => name.endsWith('.pem')).map((name) => name.slice(0, -'.pem'.length))
    const ring = await readRing(later)
    const known = ring.filter(({ state }) => state !== 'retired').map(({ id }) => id)
    t.strictSame(files.sort(), known.sort(), `${when}: the ring and the files agree`)
    await t.resolves(loadKeys(folder))
  }
})

test('of the ring’s files the last ten are kept', async (t) => {
  const { options, home, pass, settings } = await newRing(t, 'refresh')
  for (let i = 0; i < 12; i += 1) {
    await rotate(options)
    pass(settings.spread)
  }
  const numbers = readdirSync(home).flatMap((name) => /^ring\.(\d+)\.json$/.exec(name)?.[1] ?? [])
  t.equal(numbers.length, 10)
  t.ok(Math.max(...numbers.map(Number)) > 20)
})
