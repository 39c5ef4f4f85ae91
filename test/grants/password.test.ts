import t from 'tap'
import { userLocator } from '../../src/accounts/user.ts'
import { inRounds } from '../support/at-best.ts'
import { auditEvent, deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError, expectUnavailable } from '../support/expect.ts'
import { type Answer, claimsOf, postForm, signIn } from '../support/http-client.ts'
import { until } from '../support/until.ts'

const MOST_ROUNDS = 70

for (const kind of STORE_KINDS) {
  t.test(`signing in, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    await deployment.addUser('gone', 'password of gone')
    t.equal((await deployment.cli(['user', 'disable', 'gone'])).code, 0)
    await deployment.addClient('refresh-only', { grants: ['refresh_token'] })
    // What it asks wrongly is more than one account has, and one network.
    const server = await deployment.startServer({
      SIGN_IN_FAILURES_PER_ACCOUNT: '1000',
      SIGN_IN_FAILURES_PER_NETWORK: '1000',
    })
    const tell = (form: Readonly<Record<string, string | undefined>>) =>
      postForm(`${server.url}/token`, { grant_type: 'password', ...ada, ...form })

    t.test('C20 whatever is wrong, the answer is one', async (t) => {
      const shape = ({ status, headers: { date: _, ...headers }, text }: Answer) => ({
        status,
        headers,
        text,
      })
      const rows = {
        'wrong password': { password: 'wrong' },
        'unknown user': { username: 'nobody' },
        'disabled user, right password': { username: 'gone', password: 'password of gone' },
        'disabled user, wrong password': { username: 'gone', password: 'wrong' },
        'a space too many': { password: `${ada.password} ` },
        'another case': { password: ada.password.toUpperCase() },
        'the name for the password': { password: 'ada' },
        'an empty-looking name': { username: ' ' },
        'a control character': { username: 'ada\0' },
      }
      const first = await tell({ password: 'something else' })
      for (const [name, form] of Object.entries(rows)) {
        const answer = await tell(form)
        expectOAuthError(t, answer, 'invalid_grant', name)
        t.strictSame(shape(answer), shape(first), `${name}: the same answer`)
      }
      for (const reason of ['wrong password', 'no such user', 'the user is disabled']) {
        t.ok(
          await auditEvent(server, 'sign_in.failed', { reason, client_id: 'ada' }),
          `the audit event tells: ${reason}`,
        )
      }
    })

    t.test('C20 and the work is one', async (t) => {
      const names = ['ada', 'nobody', 'gone']
      const least = names.map(() => Number.POSITIVE_INFINITY)
      // A hash that was left out would make a tenth of it.
      const areAlike = () => Math.max(...least) < 3 * Math.min(...least)
      await inRounds({ least: 7, most: MOST_ROUNDS }, areAlike, async () => {
        for (const [i, username] of names.entries()) {
          const answer = await tell({ username, password: 'wrong' })
          expectOAuthError(t, answer, 'invalid_grant')
          least[i] = Math.min(least[i]!, answer.ms)
        }
      })
      t.ok(areAlike(), least.map((ms) => `${ms.toFixed(1)} ms`).join(', '))
    })

    t.test('C20 only for clients that list the grant', async (t) => {
      expectOAuthError(t, await tell({ client_id: 'refresh-only' }), 'unauthorized_client')
    })

    t.test('C21 missing or empty', async (t) => {
      for (const name of ['username', 'password']) {
        expectOAuthError(t, await tell({ [name]: undefined }), 'invalid_request', `no ${name}`)
        expectOAuthError(t, await tell({ [name]: '' }), 'invalid_request', `an empty ${name}`)
      }
    })

    t.test('names and passwords in any spelling of Unicode', async (t) => {
      await deployment.addUser('Zoë Straße', 'pässword')
      const composed = (text: string) => text.normalize('NFC')
      const decomposed = (text: string) => text.normalize('NFD')
      const names = ['Zoë Straße', 'zoë straße', 'ZOË STRASSE', 'ZOË STRAßE']
      const subs = new Set<unknown>()
      for (const username of [...names.map(composed), ...names.map(decomposed)]) {
        for (const password of [composed('pässword'), decomposed('pässword')]) {
          const { access_token } = await signIn(server.url, { ...ada, username, password })
          subs.add(claimsOf(access_token).sub)
        }
      }
      t.equal(subs.size, 1, 'it is one user')
      expectOAuthError(t, await tell({ username: 'Zoe Strasse', password: 'pässword' }), 'invalid_grant')
      expectOAuthError(t, await tell({ username: 'Zoë Straße', password: 'Pässword' }), 'invalid_grant')
      const again = ['user', 'add', 'ZOË STRASSE', '--password-stdin']
      const { code, stderr } = await deployment.cli(again, 'walks along the river')
      t.match({ code, stderr }, { code: 1, stderr: /already/ }, 'another spelling is no other user')
    })
  })
}

for (const kind of STORE_KINDS) {
  t.test(`a password hash that cannot be read is our trouble, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const server = await deployment.startServer({ SIGN_IN_FAILURES_PER_ACCOUNT: '1' })
    const tell = (form: Readonly<Record<string, string>>) =>
      postForm(`${server.url}/token`, { grant_type: 'password', ...ada, ...form })
    const user = await deployment.withStore(({ users }) => users.findByUsername('ada'))
    const { sub = '', passwordHash = '' } = user ?? {}
    const put = (hash: string) =>
      deployment.withStore(({ users }) => users.change(sub, { passwordHash: hash }))

    const times: number[] = []
    const nobodys: number[] = []
    const tellNobody = async () => {
      const answer = await tell({ username: `nobody-${nobodys.length}`, password: 'wrong' })
      expectOAuthError(t, answer, 'invalid_grant')
      nobodys.push(answer.ms)
    }
    // Cut to a length that base64 never has: with another one, one in sixteen would be a hash of fewer octets.
    for (const hash of [passwordHash.slice(0, -6), 'garbage', '', passwordHash.slice(0, 20)]) {
      await put(hash)
      for (const password of [ada.password, 'wrong']) {
        const answer = await tell({ password })
        expectUnavailable(t, answer, JSON.stringify(hash))
        times.push(answer.ms)
      }
      await tellNobody()
    }
    const log = await until('it is logged', () =>
      server.lines.find((line) => line.includes('of the user at')),
    )
    t.match(
      JSON.parse(log).detail,
      new RegExp(`the record of the user at ${userLocator(sub)} has a passwordHash that`),
    )
    t.notOk(
      server.lines.some((line) => line.includes(passwordHash.slice(0, 40))),
      'the log never has the hash',
    )
    await put(passwordHash)
    t.equal((await tell({})).status, 200, 'nothing was charged for it')
    // A hash that was left out would make a tenth of it.
    const isAlike = () => Math.min(...times) > Math.min(...nobodys) / 3
    await inRounds({ least: 0, most: MOST_ROUNDS - nobodys.length }, isAlike, tellNobody)
    t.ok(isAlike(), 'and the work is that for nobody')
  })
}
