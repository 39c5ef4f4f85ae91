import { randomBytes } from 'node:crypto'
import t from 'tap'
import { networkDigests } from '../../src/accounts/known-network.ts'
import { type RefreshSecretRing, refreshMacKey } from '../../src/tokens/refresh-token.ts'

const KEYS = new Map(['00000001', '00000002'].map((id) => [id, refreshMacKey(randomBytes(32))]))
const ring = (activeId: string, ids = [...KEYS.keys()]): RefreshSecretRing => ({
  activeId,
  macKeys: new Map([...KEYS].filter(([id]) => ids.includes(id))),
})

t.test('a digest is of one user, one network and one secret', async (t) => {
  const of = (username: string, prefix: string, id = '00000001') =>
    networkDigests(ring(id), username, prefix).active
  const ada = of('ada', '192.0.2.0/24')
  t.match(ada, /^[\w-]{20}$/)
  t.equal(of('ADA', '192.0.2.0/24'), ada, 'by every spelling of the name')
  const others = [
    of('eve', '192.0.2.0/24'),
    of('ada', '192.0.3.0/24'),
    of('ada', ''),
    of('ada', '192.0.2.0/24', '00000002'),
  ]
  t.equal(new Set([ada, ...others]).size, 5)
})

t.test('what was noted under an older secret is still looked for', async (t) => {
  const { active } = networkDigests(ring('00000001'), 'ada', '192.0.2.0/24')
  const later = networkDigests(ring('00000002'), 'ada', '192.0.2.0/24')
  t.not(later.active, active)
  t.ok(later.all.includes(active))
  t.strictSame(networkDigests(ring('00000002', ['00000002']), 'ada', '192.0.2.0/24').all, [later.active])
  t.throws(() => networkDigests(ring('00000003'), 'ada', ''), /active secret/)
})
