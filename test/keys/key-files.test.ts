import { type ChildProcess, fork } from 'node:child_process'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { ensureKeys, loadKeys } from '../../src/keys/key-files.ts'
import type { RingName } from '../../src/keys/rings.ts'
import { generate, promote, readRing, retire } from '../../src/keys/rotation.ts'
import { LONGEST_LIFE, refreshRingSettings, signingRingSettings } from '../../src/tokens/key-ring.ts'
import { mintRefreshToken, newHandle, readRefreshToken } from '../../src/tokens/refresh-token.ts'
import { idsIn, ringFileOf, writtenRing } from '../support/key-rings.ts'
import { nextMessage } from '../support/next-message.ts'

const FIRST_START = fileURLToPath(new URL('./first-start.js', import.meta.url))

/** A KEYS_DIR with one signing key and one secret. */
async function newKeysDir(t: Test): Promise<string> {
  const folder = join(t.testdir(), 'keys')
  await ensureKeys(folder)
  return folder
}

const ringOf = (folder: string, ring: RingName) => ({
  folder,
  ring,
  settings: ring === 'refresh' ? refreshRingSettings(0, 3600) : signingRingSettings(0),
})

/** A KEYS_DIR as it was before there were ring files: of the keys of a use, `active` names the one in use. */
async function oldKeysDir(t: Test): Promise<string> {
  const folder = await newKeysDir(t)
  for (const use of ['signing', 'refresh'] as const) {
    const [id = ''] = idsIn(folder, use, 'active')
    rmSync(ringFileOf(folder, use))
    writeFileSync(join(folder, use, 'active'), `${id}\n`, { mode: 0o600 })
  }
  return folder
}

/** Every file and folder below, with its mode and content. */
function snapshotOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(folder, name)
      const { mode } = statSync(path)
      const content = statSync(path).isFile() ? readFileSync(path, 'utf8') : ''
      return `${(mode & 0o777).toString(8)} ${name} ${content}`
    })
}

const theFile = (folder: string, ending: string) =>
  join(folder, readdirSync(folder).find((name) => name.endsWith(ending)) ?? '')
const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }) as string

test('the first start makes a key and a secret that nobody else can read', async (t) => {
  const folder = join(t.testdir(), 'not', 'there', 'yet')
  await ensureKeys(folder)
  const { signing, refresh } = await loadKeys(folder)
  const made = Object.fromEntries(
    ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })].map((name) => [
      name,
      (statSync(join(folder, name)).mode & 0o777).toString(8),
    ]),
  )
  t.strictSame(made, {
    '': '700',
    signing: '700',
    [join('signing', 'ring.1.json')]: '600',
    [join('signing', `${signing.active.kid}.pem`)]: '600',
    refresh: '700',
    [join('refresh', 'ring.1.json')]: '600',
    [join('refresh', `${refresh.activeId}.key`)]: '600',
  })
  t.equal(signing.active.privateKey.asymmetricKeyDetails?.modulusLength, 2048)
  t.strictSame(signing.published, [signing.active])
})

test('the next start reads the same and writes nothing', async (t) => {
  const folder = await newKeysDir(t)
  const [first, files] = [await loadKeys(folder), snapshotOf(folder)]
  await ensureKeys(folder)
  const again = await loadKeys(folder)
  t.equal(again.signing.active.kid, first.signing.active.kid)
  t.strictSame(again.refresh, first.refresh)
  t.strictSame(snapshotOf(folder), files)
})

test('a first start in a folder that came open to all, with a README, closes it', async (t) => {
  const folder = t.testdir({ 'README.md': 'what is here' })
  chmodSync(folder, 0o755)
  await ensureKeys(folder)
  await t.resolves(loadKeys(folder))
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.equal(readFileSync(join(folder, 'README.md'), 'utf8'), 'what is here')
})

test('a folder of other things that is open to others is no place for keys', async (t) => {
  const folder = t.testdir({ 'index.html': 'x' })
  chmodSync(folder, 0o755)
  await t.rejects(ensureKeys(folder), { name: 'KeyFileError', message: `chmod 700 ${folder}` })
  t.strictSame(snapshotOf(folder).length, 1)
  t.equal(statSync(folder).mode & 0o777, 0o755, 'left as it was')
})

test('reading makes nothing', async (t) => {
  const folder = join(t.testdir(), 'keys')
  await t.rejects(loadKeys(folder), { name: 'KeyFileError', message: `${folder} is missing` })
  t.notOk(existsSync(folder))
})

test('first starts at the same time agree', async (t) => {
  const folders = [join(t.testdir(), 'a'), join(t.testdir(), 'b')]
  for (const folder of folders) {
    const starts = Array.from({ length: 4 }, () => fork(FIRST_START, { execArgv: [] }))
    await Promise.all(starts.map(nextMessage))
    const answers = await Promise.all(starts.map((start) => ask(start, folder)))
    t.match(answers[0], { kid: /^[\w-]{43}$/, secret: /^[0-9a-f]{8}$/, macKey: /^[0-9a-f]{64}$/ })
    for (const answer of answers) t.strictSame(answer, answers[0])
    t.strictSame(
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.startsWith('.')),
      [],
      'no drafts are left',
    )
    t.equal(readdirSync(join(folder, 'signing')).length, 2)
    t.equal(readdirSync(join(folder, 'refresh')).length, 2)
  }
})

async function ask(start: ChildProcess, folder: string): Promise<unknown> {
  start.send(folder)
  return nextMessage(start)
}

test('what others of the machine may read or write is refused, with its name and the mend', async (t) => {
  const cases: [name: string, mode: number, mend: string][] = [
    ['', 0o755, 'chmod 700'],
    ['', 0o710, 'chmod 700'],
    ['signing', 0o750, 'chmod 700'],
    ['refresh', 0o701, 'chmod 700'],
    ['signing/*.pem', 0o644, 'chmod 600'],
    ['signing/*.pem', 0o620, 'chmod 600'],
    ['refresh/*.key', 0o640, 'chmod 600'],
    ['refresh/*.key', 0o604, 'chmod 600'],
  ]
  const folder = await newKeysDir(t)
  for (const [name, mode, mend] of cases) {
    const [use = '', ending] = name.split('/*')
    const path = ending === undefined ? join(folder, use) : theFile(join(folder, use), ending)
    const before = statSync(path).mode
    chmodSync(path, mode)
    const open = `is open to other users of this machine (mode ${mode.toString(8)})`
    await t.rejects(
      loadKeys(folder),
      { name: 'KeyFileError', message: `${path} ${open}. Close it: ${mend} ${path}` },
      `${name || 'the folder'} ${mode.toString(8)}`,
    )
    t.equal(statSync(path).mode & 0o777, mode, 'left as it was')
    chmodSync(path, before)
  }
  await t.resolves(loadKeys(folder), 'and put right it is read')
})

test('a file that cannot be used is refused, with its name and a mend; nothing is overwritten', async (t) => {
  const secret = (content: string) => (folder: string) => {
    const path = theFile(join(folder, 'refresh'), '.key')
    writeFileSync(path, content)
    return path
  }
  const signingKey = (content: string) => (folder: string) => {
    const path = theFile(join(folder, 'signing'), '.pem')
    writeFileSync(path, content)
    return path
  }
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const ring = (use: RingName, change: (text: string) => string) => (folder: string) => {
    const path = ringFileOf(folder, use)
    writeFileSync(path, change(readFileSync(path, 'utf8')))
    return path
  }
  const missing = (use: string) => (folder: string) => {
    rmSync(join(folder, use), { recursive: true })
    return join(folder, use)
  }
  const damages: Damages = {
    'a damaged signing key': [
      signingKey('-----BEGIN PRIVATE KEY-----\nMIIE\n'),
      /holds no readable private key in PEM\. Put a good/,
    ],
    'an empty signing key': [signingKey(''), /holds no readable private key in PEM/],
    'a weak signing key': [
      signingKey(pemOf(weak)),
      /holds an RSA key of 1024 bits, and RFC 7518 asks for 2048 or more\. Put/,
    ],
    'a signing key on a curve': [
      signingKey(pemOf(curve)),
      /holds a key for ES256, and this folder is for RS256\. Move it into the folder signing-es256/,
    ],
    'a truncated secret': [secret('c2hvcnQ\n'), /does not hold 32 bytes in base64url\. Put it back/],
    'an empty secret': [secret(''), /does not hold 32 bytes in base64url/],
    'a secret that is too long': [secret('A'.repeat(64)), /does not hold 32 bytes in base64url/],
    'a secret with something else in between': [
      secret(`${'A'.repeat(20)}!${'A'.repeat(23)}`),
      /does not hold 32 bytes in base64url/,
    ],
    'a ring with a life without end': [
      ring('signing', (text) => text.replace(/"life": \d+/, '"life": 1e999')),
      /is no list of keys/,
    ],
    'a ring that is no JSON': [ring('signing', () => '{'), /is no list of keys .* Put it back from a backup/],
    'a ring that is something else': [ring('refresh', () => '[]'), /is no list of keys/],
    'a ring without an active key': [
      ring('signing', (text) => text.replace('active', 'retiring')),
      /is no list of keys/,
    ],
    'a ring with a state that there is not': [
      ring('refresh', (text) => text.replace('active', 'asleep')),
      /is no list of keys/,
    ],
    'a ring with a time that is none': [
      ring('signing', (text) => text.replace(/T[\d:.]+Z/, 'T25:00:00Z')),
      /is no list of keys/,
    ],
    'a ring whose active key is not there': [
      ring('refresh', (text) => text.replace(/"id": "[0-9a-f]{8}"/, '"id": "00000000"')),
      /says that 00000000 is active, and no key file .* Put the file back/,
    ],
    'no secrets, but signing keys': [
      missing('refresh'),
      /is missing\. Put it back from a backup; or .* pawl keys generate --use refresh/,
    ],
    'no signing keys, but secrets': [
      missing('signing'),
      /is missing\. Put it back from a backup; or .* pawl keys generate --alg RS256/,
    ],
  }
  await expectRefused(t, await newKeysDir(t), damages)
})

type Damages = Record<string, [damage: (folder: string) => string, message: RegExp]>

async function expectRefused(t: Test, whole: string, damages: Damages): Promise<void> {
  for (const [what, [damage, message]] of Object.entries(damages)) {
    const folder = join(whole, '..', what)
    cpSync(whole, folder, { recursive: true, preserveTimestamps: true })
    const path = damage(folder)
    const files = snapshotOf(folder)
    await ensureKeys(folder)
    const error = (await t.rejects(loadKeys(folder), { name: 'KeyFileError', message }, what)) as Error
    t.ok(error.message.startsWith(`${path} `), `${what}: names the file`)
    t.strictSame(snapshotOf(folder), files, `${what}: nothing is overwritten`)
  }
}

test('a folder of before there were ring files', async (t) => {
  const active = (use: string, content: string | undefined) => (folder: string) => {
    const path = join(folder, use, 'active')
    rmSync(path)
    if (content !== undefined) writeFileSync(path, content, { mode: 0o600 })
    return path
  }
  const folder = await oldKeysDir(t)
  const { signing } = await loadKeys(folder)

  t.test('of one key, needs no word of which is in use', async (t) => {
    const one = join(folder, '..', 'one')
    cpSync(folder, one, { recursive: true })
    for (const use of ['signing', 'refresh']) rmSync(join(one, use, 'active'))
    t.equal((await loadKeys(one)).signing.active.kid, signing.active.kid)
  })

  t.test(
    'of several: those that may have been used are retiring, those after the word are next',
    async (t) => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      const before = join(folder, 'signing', 'by-hand-a.pem')
      writeFileSync(before, pemOf(privateKey), { mode: 0o600 })
      utimesSync(before, new Date(0), new Date(0))
      const after = join(folder, 'signing', 'by-hand-b.pem')
      writeFileSync(after, pemOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey), {
        mode: 0o600,
      })
      utimesSync(after, new Date(), new Date(Date.now() + 60_000))
      const old = '0123abcd'
      writeFileSync(join(folder, 'refresh', `${old}.key`), `${Buffer.alloc(32, 1).toString('base64url')}\n`, {
        mode: 0o600,
      })
      utimesSync(join(folder, 'refresh', `${old}.key`), new Date(0), new Date(0))

      t.equal((await loadKeys(folder)).signing.active.kid, signing.active.kid)
      t.equal((await loadKeys(folder)).signing.published.length, 3, 'all are published')
      const ring = await readRing(ringOf(folder, 'signing'))
      t.strictSame(ring.map(({ state }) => state).sort(), ['active', 'next', 'retiring'])
      t.equal(ring.find(({ state }) => state === 'active')?.id, signing.active.kid)
      const secret = (await readRing(ringOf(folder, 'refresh'))).find(({ id }) => id === old)
      t.match(
        secret,
        { state: 'retiring', life: LONGEST_LIFE.refresh },
        'nobody knows when a token under it was made, nor how long it lives',
      )
      await expectRefused(t, folder, {
        'no word of which key signs': [
          active('signing', undefined),
          /cannot be read \(ENOENT\)\. Let this user/,
        ],
        'a word of a key that is not there': [
          active('signing', 'nobody\n'),
          /names "nobody", and no key file .* Write into it/,
        ],
        'no word of which secret': [active('refresh', undefined), /cannot be read \(ENOENT\)/],
        'a word of a secret that is not there': [
          active('refresh', '00000000'),
          /names "00000000", and no key file/,
        ],
        'an empty word': [active('refresh', ''), /names "", and no key file/],
      })
    },
  )

  t.test('gets a ring file by the first step, and means what it meant', async (t) => {
    const before = await readRing(ringOf(folder, 'signing'))
    const id = await generate(ringOf(folder, 'signing'))
    t.strictSame(
      writtenRing(folder, 'signing').map(({ id, state }) => `${id} ${state}`),
      [...before.map(({ id, state }) => `${id} ${state}`), `${id} next`],
    )
    t.equal((await loadKeys(folder)).signing.active.kid, signing.active.kid)
    await promote(ringOf(folder, 'signing'), id, true)
    t.notOk(existsSync(join(folder, 'signing', 'active')), 'what says nothing any more is gone')
    t.equal((await loadKeys(folder)).signing.active.kid, id)
  })
})

test('no message repeats what is in a file of secrets', async (t) => {
  const folder = await newKeysDir(t)
  writeFileSync(theFile(join(folder, 'refresh'), '.key'), 'hunter2hunter2')
  const error = (await t.rejects(loadKeys(folder))) as Error
  t.notMatch(`${error.message} ${error.stack}`, 'hunter2')
})

test('several signing keys: one signs, all are published', async (t) => {
  const folder = await newKeysDir(t)
  const first = (await loadKeys(folder)).signing.active.kid
  const own = ringOf(folder, 'signing')
  const others = [await generate(own), await generate(own)]
  const { signing } = await loadKeys(folder)
  t.equal(signing.active.kid, first, 'a new one does not sign yet')
  t.strictSame(signing.published.map(({ kid }) => kid).sort(), [first, ...others].sort())

  await promote(own, others[0], true)
  t.equal((await loadKeys(folder)).signing.active.kid, others[0])
  t.equal((await loadKeys(folder)).signing.published.length, 3)
  for (const name of readdirSync(join(folder, 'signing'))) {
    t.equal(statSync(join(folder, 'signing', name)).mode & 0o777, 0o600, name)
  }
})

test('one key under two file names is published once', async (t) => {
  const folder = await newKeysDir(t)
  const path = theFile(join(folder, 'signing'), '.pem')
  copyFileSync(path, join(folder, 'signing', 'copy.pem'))
  t.equal((await loadKeys(folder)).signing.published.length, 1)
})

test('other files beside the keys do not matter', async (t) => {
  const folder = await newKeysDir(t)
  writeFileSync(join(folder, 'signing', 'notes.txt'), 'x')
  writeFileSync(join(folder, 'refresh', 'backup.key~'), 'x')
  mkdirSync(join(folder, 'lost+found'))
  await t.resolves(loadKeys(folder))
})

test('several secrets: tokens are made under one, and verify under all', async (t) => {
  const folder = await newKeysDir(t)
  const before = (await loadKeys(folder)).refresh
  const token = { handle: newHandle('bG9jYXRvciEh'), generation: 1 }
  const old = mintRefreshToken(before, token)
  const id = await generate(ringOf(folder, 'refresh'))
  t.equal((await loadKeys(folder)).refresh.activeId, before.activeId, 'a new one is not in use yet')

  await promote(ringOf(folder, 'refresh'), id, true)
  const ring = (await loadKeys(folder)).refresh
  t.equal(ring.activeId, id)
  t.not(mintRefreshToken(ring, token), old)
  t.strictSame(readRefreshToken(ring, old), token)

  await retire(ringOf(folder, 'refresh'), before.activeId, true)
  t.equal(readRefreshToken((await loadKeys(folder)).refresh, old), undefined, 'retired, it verifies no more')
})
