import { createHmac, hkdfSync } from 'node:crypto'
import fc from 'fast-check'
import {
  mintRefreshToken,
  type RefreshSecretRing,
  readRefreshToken,
  refreshMacKey,
  secretIdOf,
} from '../../../src/tokens/refresh-token.ts'
import { mustBe, type Target } from '../target.ts'

const SECRETS: Readonly<Record<string, Buffer>> = {
  '00000001': Buffer.alloc(32, 1),
  deadbeef: Buffer.alloc(32, 2),
}
const macKeys = new Map(Object.entries(SECRETS).map(([id, secret]) => [id, refreshMacKey(secret)]))
const ringOf = (activeId: string): RefreshSecretRing => ({ activeId, macKeys })
const ring = ringOf('deadbeef')

/** docs/rotation.md read once more, by other means. */
function reading(text: string): { secretId?: string; generation?: number; handle?: Buffer } {
  if (text.length !== 92 || text.slice(0, 4) !== 'prt_') return {}
  const bytes = Buffer.from(text.slice(4), 'base64url')
  if (bytes.length !== 66 || `prt_${bytes.toString('base64url')}` !== text) return {}
  const secretId = bytes.toString('hex', 1, 5)
  const secret = SECRETS[secretId]
  if (bytes.at(0) !== 1 || !secret) return { secretId }
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'pawl refresh-token mac v1', 32))
  const mac = createHmac('sha256', key).update(bytes.subarray(0, 34)).digest()
  if (mac.compare(bytes, 34) !== 0) return { secretId }
  return { secretId, handle: bytes.subarray(5, 30), generation: bytes.readUIntBE(30, 4) }
}

/** Tokens that are right, or right but for one part of them. */
const grammar = fc
  .record({
    prefix: fc.oneof(
      { weight: 9, arbitrary: fc.constant('prt_') },
      fc.constantFrom('', 'PRT_', 'prt-', ' prt_'),
    ),
    version: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.nat({ max: 255 })),
    id: fc.constantFrom('00000001', 'deadbeef', 'DEADBEEF', '00000002'),
    rest: fc.uint8Array({ minLength: 29, maxLength: 29 }),
    underId: fc.constantFrom('00000001', 'deadbeef'),
    macBytes: fc.oneof({ weight: 9, arbitrary: fc.constant(32) }, fc.nat({ max: 40 })),
    spelling: fc.oneof(
      { weight: 9, arbitrary: fc.constant('base64url' as const) },
      fc.constantFrom('base64' as const, 'hex' as const),
    ),
  })
  .map(({ prefix, version, id, rest, underId, macBytes, spelling }) => {
    const bytes = Buffer.concat([Buffer.from([version]), Buffer.from(id, 'hex'), rest])
    const mac = createHmac('sha256', macKeys.get(underId)!).update(bytes).digest().subarray(0, macBytes)
    return prefix + Buffer.concat([bytes, mac]).toString(spelling)
  })

const handle = Buffer.from('the 25 bytes of a handle.')

export const REFRESH_TOKEN: Target = {
  name: 'refresh-token',
  share: 150,
  seeds: [0, 1, 7, 0xffff_ffff].flatMap((generation) =>
    Object.keys(SECRETS).map((id) => Buffer.from(mintRefreshToken(ringOf(id), { handle, generation }))),
  ),
  grammar,
  hold(input) {
    const text = input.toString()
    const expected = reading(text)
    const read = readRefreshToken(ring, text)
    const secretId = secretIdOf(text)
    mustBe(secretId === expected.secretId, 'it names another secret than it says')
    mustBe((read !== undefined) === (expected.handle !== undefined), 'taken by one reader alone')
    if (!read) return
    mustBe(read.generation === expected.generation, 'another generation')
    mustBe(read.handle.equals(expected.handle!), 'another handle')
    mustBe(mintRefreshToken(ringOf(secretId!), read) === text, 'taken, and not spelt as it is minted')
  },
}
