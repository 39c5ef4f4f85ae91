import fc from 'fast-check'
import { test } from 'tap'
import { type Decision, decide, HEAL_BOUND, type Presentation } from '../../src/tokens/decision.ts'
import { type Family, NO_LOCKSTEP, type Sender } from '../../src/tokens/family.ts'

const T0 = 1_700_000_000_000
const GRACE_MS = 30_000
const HOME: Sender = { network: '192.0.2.0/24', agent: 'app/1.0' }
const ELSEWHERE: Sender = { network: '198.51.100.0/24', agent: 'app/1.0' }

const family: Family = {
  id: 'bG9jYXRvciEh1dR8LNuOrQUUEJJv0Mws',
  generation: 7,
  rotatedAt: T0,
  clientId: 'web',
  scope: ['read', 'write'],
  audience: ['https://api.example'],
  createdAt: T0 - 3_600_000,
  endsAt: T0 + 86_400_000,
  expiresAt: T0 + 3_600_000,
  userEpoch: 11,
  clientEpoch: 22,
  lastSender: HOME,
  replays: 0,
  lockstep: NO_LOCKSTEP,
}

/** The current token, presented by its client a second after the last rotation. */
const usual: Presentation = {
  presented: 7,
  family,
  userEpoch: 11,
  client: { clientId: 'web', epoch: 22 },
  scope: undefined,
  sender: HOME,
  now: T0 + 1000,
  graceMs: GRACE_MS,
  onReuse: 'enforce',
}

interface Row {
  readonly when: string
  readonly given: Partial<Presentation>
  readonly record?: Partial<Family>
  readonly expected: Decision
}

const revokedFor = (reason: 'reuse' | 'operator' | 'client') => ({ revoked: { reason, at: T0 } })
const rotate: Decision = { kind: 'rotate', from: 7, to: 8 }
const repeat: Decision = { kind: 'repeat', generation: 7, lockstep: NO_LOCKSTEP }

// docs/rotation.md, row by row, and what each row's edge is.
const TABLE: readonly Row[] = [
  { when: 'the record is gone', given: { family: undefined }, expected: { kind: 'gone' } },
  { when: 'the idle end is now', given: { now: family.expiresAt }, expected: { kind: 'gone' } },
  { when: 'the idle end was', given: { now: family.expiresAt + 1 }, expected: { kind: 'gone' } },
  { when: 'the idle end is a millisecond away', given: { now: family.expiresAt - 1 }, expected: rotate },
  {
    when: 'the absolute end is now, whatever the idle end says',
    given: { now: T0 + 500 },
    record: { endsAt: T0 + 500 },
    expected: { kind: 'gone' },
  },
  {
    when: 'the absolute end is a millisecond away',
    given: { now: T0 + 499 },
    record: { endsAt: T0 + 500 },
    expected: rotate,
  },

  {
    when: 'revoked for reuse',
    given: {},
    record: revokedFor('reuse'),
    expected: { kind: 'revoked', reason: 'reuse' },
  },
  {
    when: 'revoked by an operator',
    given: {},
    record: revokedFor('operator'),
    expected: { kind: 'revoked', reason: 'operator' },
  },
  {
    when: 'revoked by the client',
    given: {},
    record: revokedFor('client'),
    expected: { kind: 'revoked', reason: 'client' },
  },
  {
    when: 'revoked, with an old token',
    given: { presented: 2 },
    record: revokedFor('reuse'),
    expected: { kind: 'revoked', reason: 'reuse' },
  },

  {
    when: 'another client',
    given: { client: { clientId: 'app', epoch: 22 } },
    expected: { kind: 'other_client' },
  },
  {
    when: 'another client, with an old token',
    given: { client: { clientId: 'app', epoch: 22 }, presented: 0 },
    expected: { kind: 'other_client' },
  },
  {
    when: 'a client whose name differs in case',
    given: { client: { clientId: 'Web', epoch: 22 } },
    expected: { kind: 'other_client' },
  },

  { when: 'the epoch of the user has moved', given: { userEpoch: 12 }, expected: { kind: 'user_ended' } },
  { when: 'the epoch of the user is lower', given: { userEpoch: 10 }, expected: { kind: 'user_ended' } },
  { when: 'the user is gone', given: { userEpoch: undefined }, expected: { kind: 'user_ended' } },
  {
    when: 'the epoch of the user has moved, with an old token',
    given: { userEpoch: 12, presented: 1 },
    expected: { kind: 'user_ended' },
  },
  {
    when: 'the epoch of the client has moved',
    given: { client: { clientId: 'web', epoch: 23 } },
    expected: { kind: 'client_ended' },
  },

  {
    when: 'a scope beyond the grant',
    given: { scope: ['read', 'admin'] },
    expected: { kind: 'scope_exceeded' },
  },
  {
    when: 'a scope beyond the grant, on a repeat',
    given: { scope: ['admin'], presented: 6 },
    expected: { kind: 'scope_exceeded' },
  },
  {
    when: 'a scope beyond the grant, with an old token',
    given: { scope: ['admin'], presented: 1 },
    expected: { kind: 'scope_exceeded' },
  },
  { when: 'the scope of the grant', given: { scope: ['write', 'read'] }, expected: rotate },
  { when: 'a narrower scope', given: { scope: ['read'] }, expected: rotate },

  { when: 'presented = current', given: {}, expected: rotate },
  { when: 'presented = current, from elsewhere', given: { sender: ELSEWHERE }, expected: rotate },
  { when: 'presented = current, long after the grace', given: { now: T0 + 10 * GRACE_MS }, expected: rotate },
  {
    when: 'the very first refresh',
    given: { presented: 0 },
    record: { generation: 0 },
    expected: { kind: 'rotate', from: 0, to: 1 },
  },

  { when: 'presented = current − 1, at once', given: { presented: 6, now: T0 }, expected: repeat },
  { when: 'presented = current − 1, in the grace', given: { presented: 6 }, expected: repeat },
  { when: '… in its last millisecond', given: { presented: 6, now: T0 + GRACE_MS - 1 }, expected: repeat },
  { when: '… by a clock that was set back', given: { presented: 6, now: T0 - 3_599_999 }, expected: repeat },
  { when: '… with a narrower scope', given: { presented: 6, scope: ['read'] }, expected: repeat },
  {
    when: '… while the client only observes reuse',
    given: { presented: 6, onReuse: 'observe' },
    expected: repeat,
  },
  {
    when: '… from elsewhere',
    given: { presented: 6, sender: ELSEWHERE },
    expected: { kind: 'repeat', generation: 7, lockstep: { generation: 7, run: 1 } },
  },

  {
    when: 'presented = current − 1, when the grace is over',
    given: { presented: 6, now: T0 + GRACE_MS },
    expected: { kind: 'reuse' },
  },
  { when: '… with no grace', given: { presented: 6, now: T0, graceMs: 0 }, expected: { kind: 'reuse' } },
  { when: 'presented = current − 2, in the grace', given: { presented: 5 }, expected: { kind: 'reuse' } },
  { when: 'presented = 0, in the grace', given: { presented: 0 }, expected: { kind: 'reuse' } },
  {
    when: 'reuse with a narrower scope',
    given: { presented: 5, scope: ['read'] },
    expected: { kind: 'reuse' },
  },
  {
    when: 'reuse that is only observed',
    given: { presented: 5, onReuse: 'observe' },
    expected: { kind: 'reuse_observed', generation: 7 },
  },
  {
    when: 'a late predecessor that is only observed',
    given: { presented: 6, now: T0 + GRACE_MS, onReuse: 'observe' },
    expected: { kind: 'reuse_observed', generation: 7 },
  },

  { when: 'presented = current + 1', given: { presented: 8 }, expected: { kind: 'heal', from: 7, to: 9 } },
  {
    when: 'presented = current + 1, from elsewhere, with no grace, observed',
    given: { presented: 8, sender: ELSEWHERE, graceMs: 0, onReuse: 'observe' },
    expected: { kind: 'heal', from: 7, to: 9 },
  },
  {
    when: 'presented = current + 1000',
    given: { presented: 1007 },
    expected: { kind: 'heal', from: 7, to: 1008 },
  },
  { when: 'presented = current + 1001', given: { presented: 1008 }, expected: { kind: 'too_far_ahead' } },
  {
    when: 'presented as far as can be',
    given: { presented: 0xffff_ffff },
    expected: { kind: 'too_far_ahead' },
  },
]

test('the table', async (t) => {
  for (const { when, given, record, expected } of TABLE) {
    const held = 'family' in given ? given.family : { ...family, ...record }
    t.strictSame(decide({ ...usual, ...given, family: held }), expected, `${when}: ${expected.kind}`)
  }
  t.equal(HEAL_BOUND, 1000, 'as documented')
})

test('the first row that holds decides', async (t) => {
  // Each makes its row hold and leaves the others as they were; the order is the table's.
  const causes: [kind: Decision['kind'], (p: Presentation) => Presentation][] = [
    ['gone', (p) => ({ ...p, now: family.expiresAt })],
    ['revoked', (p) => ({ ...p, family: { ...(p.family as Family), ...revokedFor('operator') } })],
    ['other_client', (p) => ({ ...p, client: { ...p.client, clientId: 'app' } })],
    ['user_ended', (p) => ({ ...p, userEpoch: 12 })],
    ['client_ended', (p) => ({ ...p, client: { ...p.client, epoch: 23 } })],
    ['scope_exceeded', (p) => ({ ...p, scope: ['admin'] })],
    ['reuse', (p) => ({ ...p, presented: 3 })],
  ]
  const some = fc.subarray(causes, { minLength: 1 })
  const ahead = fc.constantFrom(3, 6, 7, 8, 5000)
  const property = fc.property(some, ahead, (chosen, presented) => {
    const presentation = chosen.reduce<Presentation>((p, [, cause]) => cause(p), { ...usual, presented })
    return decide(presentation).kind === chosen[0]?.[0]
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 1000 }))
})

test('a decision is made of its input alone, and leaves that as it was', async (t) => {
  const frozen = Object.freeze({
    ...usual,
    presented: 6,
    sender: ELSEWHERE,
    family: Object.freeze({ ...family }),
  })
  t.strictSame(decide(frozen), decide(frozen))
})

const generation = fc.nat({ max: 1200 })
const presentation = fc.record({
  presented: generation,
  graceMs: fc.nat({ max: 60_000 }),
  now: fc.integer({ min: T0, max: T0 + 60_000 }),
  onReuse: fc.constantFrom('enforce' as const, 'observe' as const),
  sender: fc.constantFrom(HOME, ELSEWHERE),
  scope: fc.constantFrom(undefined, ['read']),
  family: generation.map((generation) => ({ ...family, generation })),
})

test('never a fork: a token is answered with the next generation or not at all', async (t) => {
  const property = fc.property(presentation, (given) => {
    const decision = decide({ ...usual, ...given })
    switch (decision.kind) {
      case 'rotate':
      case 'heal':
        return (
          decision.to === given.presented + 1 &&
          decision.from === given.family.generation &&
          decision.to > decision.from
        )
      case 'repeat':
        return decision.generation === given.presented + 1 && decision.generation === given.family.generation
      case 'reuse_observed':
        return decision.generation === given.family.generation && given.onReuse === 'observe'
      default:
        return given.presented !== given.family.generation
    }
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 3000 }))
})

interface Turn {
  /** How far the presented generation is from the current one. */
  readonly offset: number
  readonly afterMs: number
  readonly elsewhere: boolean
}

const turns = fc.array(
  fc.record<Turn>({
    offset: fc.oneof(
      { weight: 6, arbitrary: fc.constant(0) },
      { weight: 4, arbitrary: fc.constant(-1) },
      { weight: 1, arbitrary: fc.integer({ min: -3, max: 3 }) },
    ),
    afterMs: fc.oneof(fc.nat({ max: 900 }), fc.nat({ max: 5000 })),
    elsewhere: fc.boolean(),
  }),
  { maxLength: 40 },
)

/** A session's life under the effects that docs/rotation.md gives each decision. */
function live(graceMs: number, idleMs: number, maxMs: number, turns: readonly Turn[]) {
  let now = T0
  let record: Family = {
    ...family,
    generation: 0,
    rotatedAt: T0,
    createdAt: T0,
    endsAt: T0 + maxMs,
    expiresAt: T0 + Math.min(idleMs, maxMs),
  }
  return turns.map(({ offset, afterMs, elsewhere }) => {
    now += afterMs
    const sender = elsewhere ? ELSEWHERE : HOME
    const before = record
    const presented = Math.max(0, before.generation + offset)
    const decision = decide({ ...usual, presented, family: before, sender, now, graceMs })
    if (decision.kind === 'rotate' || decision.kind === 'heal') {
      const expiresAt = Math.min(now + idleMs, before.endsAt)
      record = { ...before, generation: decision.to, rotatedAt: now, expiresAt, lastSender: sender }
    } else if (decision.kind === 'repeat') {
      record = { ...before, replays: before.replays + 1, lockstep: decision.lockstep }
    } else if (decision.kind === 'reuse') {
      record = { ...before, revoked: { reason: 'reuse', at: now } }
    }
    return { now, presented, sender, decision, before, after: record }
  })
}

test('repeats never prolong the grace, and reach one generation back', async (t) => {
  const property = fc.property(fc.nat({ max: 3000 }), turns, (graceMs, turns) => {
    return live(graceMs, 1e9, 1e9, turns).every(({ now, presented, decision, before, after }) => {
      if (decision.kind !== 'repeat') return true
      const inTime = now - before.rotatedAt < graceMs
      return inTime && presented === before.generation - 1 && after.rotatedAt === before.rotatedAt
    })
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 1000 }))
})

test('the ends: no answer at or after either, and the absolute one never moves', async (t) => {
  const end = fc.integer({ min: 1, max: 20_000 })
  const property = fc.property(end, end, turns, (idleMs, maxMs, turns) => {
    return live(1000, idleMs, maxMs, turns).every(({ now, decision, before, after }) => {
      const answered = ['rotate', 'heal', 'repeat', 'reuse_observed'].includes(decision.kind)
      const over = now >= T0 + maxMs || now >= before.expiresAt
      return !(answered && over) && after.endsAt === T0 + maxMs && after.expiresAt <= after.endsAt
    })
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 1000 }))
})

test('once a session is over it stays over', async (t) => {
  const property = fc.property(turns, (turns) => {
    const kinds = live(500, 4000, 20_000, turns).map(({ decision }) => decision.kind)
    const ended = kinds.findIndex((kind) => kind === 'reuse' || kind === 'gone')
    return ended < 0 || kinds.slice(ended + 1).every((kind) => kind === 'revoked' || kind === 'gone')
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 1000 }))
})

test('an honest client is never signed out by its own retries', async (t) => {
  const honest = fc.array(
    fc.record({ offset: fc.constantFrom(0, -1), afterMs: fc.nat({ max: 20 }), elsewhere: fc.boolean() }),
    {
      maxLength: 40,
    },
  )
  const property = fc.property(honest, (turns) => {
    // The grace is longer than all of it, and there is no predecessor before the first rotation.
    return live(1000, 1e9, 1e9, turns).every(
      ({ decision }) => decision.kind === 'rotate' || decision.kind === 'repeat',
    )
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }))
})

test('lockstep counts the generations in a row that another sender repeated', async (t) => {
  const repeatOf = (record: Partial<Family>, sender: Sender) => {
    const decision = decide({ ...usual, presented: 6, sender, family: { ...family, ...record } })
    return decision.kind === 'repeat' ? decision.lockstep : decision.kind
  }
  t.strictSame(repeatOf({}, HOME), NO_LOCKSTEP, 'a repeat by the same sender is none')
  t.strictSame(repeatOf({}, ELSEWHERE), { generation: 7, run: 1 }, 'by another sender: the first')
  const [sameAgent, sameNetwork] = [ELSEWHERE, { ...HOME, agent: 'app/2.0' }]
  t.strictSame(
    repeatOf({}, sameNetwork),
    repeatOf({}, sameAgent),
    'network and agent both tell senders apart',
  )
  const before = { lockstep: { generation: 6, run: 3 } }
  t.strictSame(
    repeatOf(before, ELSEWHERE),
    { generation: 7, run: 4 },
    'the generation before was repeated too',
  )
  t.strictSame(repeatOf(before, HOME), { generation: 6, run: 3 }, 'the same sender changes nothing')
  const again = { lockstep: { generation: 7, run: 3 } }
  t.strictSame(repeatOf(again, ELSEWHERE), { generation: 7, run: 3 }, 'one generation counts once')
  t.strictSame(
    repeatOf({ lockstep: { generation: 5, run: 3 } }, ELSEWHERE),
    { generation: 7, run: 1 },
    'a gap begins anew',
  )
})

test('a thief who repeats every rotation shows, a client that retries does not', async (t) => {
  const rounds = fc.integer({ min: 1, max: 20 })
  const runAfter = (rounds: number, elsewhere: boolean) => {
    const round: Turn[] = [
      { offset: 0, afterMs: 100, elsewhere: false },
      { offset: -1, afterMs: 100, elsewhere },
    ]
    return live(1000, 1e9, 1e9, Array.from({ length: rounds }, () => round).flat()).at(-1)?.after.lockstep.run
  }
  t.doesNotThrow(() =>
    fc.assert(fc.property(rounds, (n) => runAfter(n, true) === n && runAfter(n, false) === 0)),
  )
})
