import t from 'tap'
import { networkOf } from '../../src/http/sender.ts'
import { auditEvent, deploy, STORE_KINDS } from '../support/deployment.ts'
import { postForm } from '../support/http-client.ts'

t.test('addresses are kept coarse', async (t) => {
  const rows: [string | undefined, string][] = [
    ['192.0.2.77', '192.0.2.0/24'],
    ['::ffff:192.0.2.77', '192.0.2.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
    ['2001:db8:1:2::3', '2001:db8:1::/48'],
    ['2001:db8::3', '2001:db8:0::/48'],
    ['2001::3', '2001:0:0::/48'],
    ['::1', '0:0:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0::/48'],
    ['2001:0db8:0001:0002::3', '2001:db8:1::/48'],
    ['2001:DB8:01:2::3', '2001:db8:1::/48'],
    ['::ffff:c000:024d', '192.0.2.0/24'],
    ['0:0:0:0:0:ffff:192.0.2.77', '192.0.2.0/24'],
    ['', ''],
    [undefined, ''],
  ]
  for (const [address, network] of rows) t.equal(networkOf(address), network, String(address))
})

t.test('an IPv6 network of 64 bits', async (t) => {
  const rows: [string, string][] = [
    ['192.0.2.77', '192.0.2.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::3', '2001:db8:1:2::/64'],
    ['2001:db8:1::3', '2001:db8:1:0::/64'],
    ['2001:db8::2:3:4:5:6', '2001:db8:0:2::/64'],
    ['2001:db8::', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ]
  for (const [address, network] of rows) t.equal(networkOf(address, 64), network, address)
})

for (const kind of STORE_KINDS) {
  t.test(`where a request comes from, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const alone = await deployment.startServer()
    const behind = await deployment.startServer({ TRUST_PROXY: '127.0.0.0/8, 10.0.0.0/8' })

    const rows = [
      {
        server: alone,
        forwarded: '203.0.113.9',
        network: '127.0.0.0/24',
        why: 'nothing makes the header count',
      },
      { server: behind, forwarded: '203.0.113.9', network: '203.0.113.0/24', why: 'the proxy is trusted' },
      {
        server: behind,
        forwarded: '6.6.6.6, 203.0.113.9, 10.1.1.1',
        network: '203.0.113.0/24',
        why: 'the first that is not',
      },
      { server: behind, forwarded: undefined, network: '127.0.0.0/24', why: 'no header' },
    ]
    for (const [i, { server, forwarded, network, why }] of rows.entries()) {
      const agent = `agent ${i} ${'é\u0001'.repeat(30)}`
      const headers = {
        'user-agent': Buffer.from(agent.replaceAll('\u0001', '\u00ff')).toString('latin1'),
        ...(forwarded && { 'x-forwarded-for': forwarded }),
      }
      const { status } = await postForm(`${server.url}/token`, { grant_type: 'password', ...ada }, headers)
      t.equal(status, 200)
      const { agent: kept } = await auditEvent(server, 'sign_in.succeeded', { network })
      t.match(kept, /^[\x20-\x7e]{1,40}$/, `${why}: the agent is short and printable`)
    }
  })
}
