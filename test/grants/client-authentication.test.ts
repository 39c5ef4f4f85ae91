import t, { type Test } from 'tap'
import { hashClientSecret } from '../../src/accounts/client.ts'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { type Answer, basic, type Headers, postForm, signIn } from '../support/http-client.ts'

interface Row {
  readonly name: string
  readonly form?: Readonly<Record<string, string>>
  readonly headers?: Headers
  readonly gives: string
}

const ODD = 'a b:%+é'
// Raw and form-decoded this is two secrets.
const AMBIGUOUS = 'x%41y+z'
const formEncoded = (text: string) => new URLSearchParams({ x: text }).toString().slice('x='.length)

for (const kind of STORE_KINDS) {
  t.test(`client authentication, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const { username, password } = ada
    const secret = await deployment.addConfidentialClient('web')
    const otherSecret = await deployment.addConfidentialClient('other')
    await deployment.addConfidentialClient('odd', { secretHash: hashClientSecret(ODD) })
    await deployment.addConfidentialClient('ambiguous', { secretHash: hashClientSecret(AMBIGUOUS) })
    const disabledSecret = await deployment.addConfidentialClient('disabled', { disabled: true })
    await deployment.addClient('disabled-public', { disabled: true })
    const { url } = await deployment.startServer()
    const held = await signIn(url, { client_id: 'web', client_secret: secret, username, password })

    const tell = (form: Row['form'], headers?: Headers) =>
      postForm(`${url}/token`, { grant_type: 'password', username, password, ...form }, headers)
    async function check(t: Test, rows: readonly Row[]) {
      for (const { name, form, headers, gives } of rows) {
        const answer = await tell(form, headers)
        if (gives === 'ok') t.equal(answer.status, 200, name)
        else expectOAuthError(t, answer, gives, name)
      }
    }

    t.test('C12 Basic and the body both work', (t) =>
      check(t, [
        { name: 'body', form: { client_id: 'web', client_secret: secret }, gives: 'ok' },
        ...['Basic', 'basic', 'BASIC', 'bAsIc', 'Basic   '].map((scheme) => ({
          name: `scheme ${scheme}`,
          headers: { authorization: basic('web', secret).authorization.replace('Basic', scheme) },
          gives: 'ok',
        })),
        {
          name: 'Basic without padding',
          headers: { authorization: basic('web', secret).authorization.replace(/=+$/, '') },
          gives: 'ok',
        },
        {
          name: 'Basic and the same client_id',
          form: { client_id: 'web' },
          headers: basic('web', secret),
          gives: 'ok',
        },
        {
          name: 'Basic and an empty client_secret',
          form: { client_secret: '' },
          headers: basic('web', secret),
          gives: 'ok',
        },
      ]),
    )

    t.test('C13 Basic values are form-decoded; raw ones count too', (t) =>
      check(t, [
        { name: 'encoded', headers: basic('odd', formEncoded(ODD)), gives: 'ok' },
        { name: 'raw, where decoding fails', headers: basic('odd', ODD), gives: 'ok' },
        { name: 'in the body', form: { client_id: 'odd', client_secret: ODD }, gives: 'ok' },
        {
          name: 'encoded, where both can be read',
          headers: basic('ambiguous', formEncoded(AMBIGUOUS)),
          gives: 'ok',
        },
        { name: 'raw, where both can be read', headers: basic('ambiguous', AMBIGUOUS), gives: 'ok' },
        { name: 'an encoded client id', headers: basic('%77eb', secret), gives: 'ok' },
        {
          name: 'a secret that only looks alike',
          headers: basic('ambiguous', 'xAy z'),
          gives: 'invalid_client',
        },
      ]),
    )

    t.test('C14 wrong secrets, and what is no Basic', (t) =>
      check(t, [
        { name: 'Basic', headers: basic('web', 'wrong'), gives: 'invalid_client' },
        { name: 'Basic, of another client', headers: basic('web', otherSecret), gives: 'invalid_client' },
        { name: 'Basic, one letter more', headers: basic('web', `${secret}x`), gives: 'invalid_client' },
        {
          name: 'Basic, in lower case',
          headers: basic('web', secret.toLowerCase()),
          gives: 'invalid_client',
        },
        { name: 'body', form: { client_id: 'web', client_secret: 'wrong' }, gives: 'invalid_client' },
        {
          name: 'its hash',
          form: { client_id: 'web', client_secret: hashClientSecret(secret) },
          gives: 'invalid_client',
        },
        ...['', 'Basic', 'Basic !', 'Basic d2Vi', 'Bearer x', `Basic ${secret}`, 'Digest username="web"'].map(
          (authorization) => ({
            name: `Authorization: ${authorization.slice(0, 12)}`,
            headers: { authorization },
            form: { client_id: 'ada' },
            gives: 'invalid_client',
          }),
        ),
        { name: 'no client at all', gives: 'invalid_request' },
        { name: 'a secret without a client', form: { client_secret: secret }, gives: 'invalid_request' },
      ]),
    )

    t.test('C15 two methods at once', (t) =>
      check(t, [
        {
          name: 'Basic and body',
          form: { client_id: 'web', client_secret: secret },
          headers: basic('web', secret),
          gives: 'invalid_request',
        },
        {
          name: 'Basic and a wrong body',
          form: { client_id: 'web', client_secret: 'x' },
          headers: basic('web', secret),
          gives: 'invalid_request',
        },
        {
          name: 'Basic and another client_id',
          form: { client_id: 'other' },
          headers: basic('web', secret),
          gives: 'invalid_request',
        },
        {
          name: 'Basic and a public client_id',
          form: { client_id: 'ada' },
          headers: basic('web', secret),
          gives: 'invalid_request',
        },
        {
          name: 'Basic of nobody and a public client_id',
          form: { client_id: 'ada' },
          headers: basic('nobody', 'x'),
          gives: 'invalid_request',
        },
      ]),
    )

    t.test('C16 a confidential client without its secret', async (t) => {
      const bare = [
        { name: 'nothing', form: { client_id: 'web' }, gives: 'invalid_client' },
        { name: 'an empty secret', form: { client_id: 'web', client_secret: '' }, gives: 'invalid_client' },
        { name: 'Basic, an empty secret', headers: basic('web', ''), gives: 'invalid_client' },
      ]
      const refreshing = { grant_type: 'refresh_token', refresh_token: held.refresh_token }
      await check(t, bare)
      await check(
        t,
        bare.map((row) => ({ ...row, form: { ...row.form, ...refreshing } })),
      )
      const owner = {
        name: 'the token is not consumed',
        form: refreshing,
        headers: basic('web', secret),
        gives: 'ok',
      }
      await check(t, [owner])
    })

    t.test('C17 unknown client, wrong secret, disabled: one answer', async (t) => {
      const shape = ({ status, headers: { date: _, ...headers }, text }: Answer) => ({
        status,
        headers,
        text,
      })
      const answers = [
        await tell({}, basic('web', 'wrong')),
        await tell({}, basic('nobody', 'wrong')),
        await tell({}, basic('disabled', disabledSecret)),
        await tell({ client_id: 'web', client_secret: 'wrong' }),
        await tell({ client_id: 'nobody', client_secret: 'wrong' }),
        await tell({ client_id: 'disabled', client_secret: disabledSecret }),
        await tell({ client_id: 'nobody' }),
        await tell({ client_id: 'disabled-public' }),
        await tell({ client_id: 'web' }),
        await tell({ client_id: 'ada', client_secret: 'x' }),
      ].map(shape)
      t.equal(answers[0]?.status, 401)
      for (const answer of answers) t.strictSame(answer, answers[0])
    })

    t.test('C18 a public client and secrets', (t) =>
      check(t, [
        { name: 'body', form: { client_id: 'ada', client_secret: 'x' }, gives: 'invalid_client' },
        { name: 'Basic', headers: basic('ada', 'x'), gives: 'invalid_client' },
        { name: 'an empty one in Basic is none', headers: basic('ada', ''), gives: 'ok' },
        {
          name: 'an empty one in the body is none',
          form: { client_id: 'ada', client_secret: '' },
          gives: 'ok',
        },
      ]),
    )
  })
}
