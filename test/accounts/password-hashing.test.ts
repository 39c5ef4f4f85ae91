import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashSync, verify } from '@node-rs/argon2'
import { type Test, test } from 'tap'
import {
  IN_COMMAND,
  IN_SERVER,
  type Manners,
  type PasswordHashing,
  startPasswordHashing,
} from '../../src/accounts/password-hashing.ts'
import { UnavailableError } from '../../src/oauth/errors.ts'
import { inRounds } from '../support/at-best.ts'

/** On each thread one password is hashed and 64 wait. */
const ROOM = 65 * Math.max(1, availableParallelism() - 1)
const TOO_MANY = { name: 'UnavailableError', message: 'Too many sign-ins are waiting', retryAfterSeconds: 1 }

function start(t: Test, manners: Manners = IN_COMMAND): PasswordHashing {
  const passwords = startPasswordHashing(manners)
  t.teardown(() => passwords.close())
  return passwords
}

test('a password is hashed as argon2id, and verified', async (t) => {
  const passwords = start(t)
  const hash = await passwords.hash('correct horse')
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  t.not(await passwords.hash('correct horse'), hash, 'with a salt of its own')
  t.ok(await verify(hash, 'correct horse'), 'as others read it')

  t.equal(await passwords.verify('correct horse', hash), true)
  for (const wrong of ['', 'correct horsf', 'Correct horse', 'correct horse ', hash]) {
    t.equal(await passwords.verify(wrong, hash), false, JSON.stringify(wrong))
  }
})

test('nobody is told that a password is wrong which could not be held against its hash', async (t) => {
  const passwords = start(t)
  const hash = await passwords.hash('correct horse')
  // Cut to a length that base64 never has: with another one, one in sixteen would be a hash of fewer octets.
  const unreadable = ['', 'x', hash.slice(0, -6), '$argon2id$v=19$m=19456,t=2,p=1$$']
  // Well formed, and of a cost that scrypt itself refuses (RFC 7914 section 2).
  const uncomputable = `$scrypt$ln=17,r=1,p=1$${'c2FsdA'.repeat(4)}$${'aGFzaA'.repeat(7)}`
  for (const stored of [...unreadable, uncomputable]) {
    const error = await passwords.verify('correct horse', stored).catch((error: unknown) => error)
    t.ok(error instanceof UnavailableError, stored)
    t.match(error, { message: 'Passwords cannot be computed at the moment', cause: Error })
    t.notMatch(String((error as Error).cause), /\$/, 'without the hash')
  }
  t.equal(await passwords.verify('correct horse', hash), true, 'the thread goes on')
})

test('passwords are compared after NFC, and only that', async (t) => {
  const passwords = start(t)
  const composed = await passwords.hash('Zoë 🐴')
  t.equal(await passwords.verify('Zoe\u0308 🐴', composed), true)
  t.equal(await passwords.verify('Zoë 🐴', await passwords.hash('Zoe\u0308 🐴')), true)
  t.equal(await passwords.verify('zoë 🐴', composed), false)
  t.equal(await passwords.verify('ﬁ', await passwords.hash('fi')), false, 'compatibility forms stay apart')
  t.equal(await passwords.verify('a\0b', await passwords.hash('a\0c')), false, 'nothing ends at a NUL')
  const long = 'x'.repeat(10_000)
  t.equal(
    await passwords.verify(`${long}y`, await passwords.hash(`${long}z`)),
    false,
    'nor is anything cut off',
  )
})

test('with no hash the answer is no', async (t) => {
  const passwords = start(t, IN_SERVER)
  for (const password of ['', 'correct horse']) t.equal(await passwords.verify(password, undefined), false)
})

test('an unknown user costs a computation of the same size', async (t) => {
  const passwords = start(t)
  const timeOf = async (hash: string | undefined) => {
    const begin = performance.now()
    await passwords.verify('correct horse', hash)
    return performance.now() - begin
  }
  const cheap = hashSync('correct horse', { memoryCost: 64, timeCost: 1 })
  const least = { nobodys: Number.POSITIVE_INFINITY, cheap: Number.POSITIVE_INFINITY }
  // No comparison of times that are nearly equal: the cheapest hash there is takes a hundredth.
  const isDearer = () => least.nobodys > 4 * least.cheap
  await inRounds({ least: 6, most: 60 }, isDearer, async () => {
    least.nobodys = Math.min(least.nobodys, await timeOf(undefined))
    least.cheap = Math.min(least.cheap, await timeOf(cheap))
  })
  t.ok(isDearer(), JSON.stringify(least))
})

/** What becomes of a number of tasks more than there is room for, all started at once. */
async function flood(task: (passwords: PasswordHashing) => Promise<unknown>) {
  const passwords = startPasswordHashing(IN_COMMAND)
  const errors: unknown[] = []
  const settled = Array.from({ length: ROOM + 20 }, () =>
    task(passwords).catch((error) => errors.push(error)),
  )
  await sleep(0)
  const atOnce = [...errors]
  await passwords.close()
  await Promise.all(settled)
  return atOnce
}

test('a full queue refuses at once; an unknown user takes as much of its room as a known one', async (t) => {
  const hash = hashSync('correct horse')
  // Room is taken by tasks alone, so as many refusals are as many computations.
  const floods = {
    'a known user': await flood((passwords) => passwords.verify('correct horse', hash)),
    'an unknown user': await flood((passwords) => passwords.verify('correct horse', undefined)),
    'a new password': await flood((passwords) => passwords.hash('correct horse')),
  }
  for (const [what, refusals] of Object.entries(floods)) {
    t.equal(refusals.length, 20, `${what}: all beyond ${ROOM}`)
    for (const refusal of refusals.slice(0, 1)) {
      t.ok(refusal instanceof UnavailableError)
      t.match(refusal, TOO_MANY)
    }
  }
})

test('when the queue has emptied there is room again', async (t) => {
  // Enough for one hash on any machine.
  const passwords = start(t, { ...IN_COMMAND, timeLimitMs: 1000 })
  const waiting = Array.from({ length: ROOM }, () => passwords.hash('x').catch(() => undefined))
  await t.rejects(passwords.hash('x'), TOO_MANY)
  t.throws(() => passwords.requireRoom(), TOO_MANY, 'whoever asks beforehand hears the same')
  await Promise.all(waiting)
  // What was given up has left the queue without being computed.
  t.match(await untilHashed(passwords), /^\$argon2id\$/)
  t.doesNotThrow(() => passwords.requireRoom())
})

async function untilHashed(passwords: PasswordHashing): Promise<string> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await passwords.hash('x')
    } catch (error) {
      if (attempt === 50) throw error
      await sleep(50)
    }
  }
}

test('whoever has waited too long is told so', async (t) => {
  const passwords = start(t, { ...IN_COMMAND, timeLimitMs: 200 })
  const outcomes = await Promise.allSettled(Array.from({ length: ROOM }, () => passwords.hash('x')))
  const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
  t.ok(reasons.length > 0)
  for (const reason of new Set(reasons.map((reason) => `${reason.name}: ${reason.message}`))) {
    t.equal(reason, 'UnavailableError: Password hashing takes too long')
  }
})

test('nobody waits for ever when it closes', async (t) => {
  const passwords = startPasswordHashing(IN_COMMAND)
  const underWay = Promise.allSettled(Array.from({ length: 10 }, () => passwords.hash('x')))
  await passwords.close()
  const outcomes = await underWay
  t.ok(outcomes.some(({ status }) => status === 'rejected'))
})

test('an answer that comes while it closes disturbs nobody', async (t) => {
  let closed = 0
  for (let round = 0; round < 8; round += 1) {
    const passwords = startPasswordHashing(IN_COMMAND)
    const all = [1, 2, 3].map(() => passwords.hash('x'))
    const outcomes = Promise.allSettled(all)
    await all[0]
    // Meanwhile the next one is done, and its answer waits for this thread.
    const end = performance.now() + 60
    while (performance.now() < end);
    await passwords.close()
    await outcomes
    closed += 1
  }
  // An error that nobody catches would have failed the test.
  t.equal(closed, 8)
})
