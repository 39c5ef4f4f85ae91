import t from 'tap'
import { type Client, newClient, withRegistration } from '../../src/accounts/client.ts'
import { withoutAccess, withoutSessions, withPassword } from '../../src/accounts/user.ts'
import type { Store } from '../../src/stores/contract.ts'
import { type Deployment, deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError, expectUnavailable } from '../support/expect.ts'
import {
  type Answer,
  type Credentials,
  claimsOf,
  signIn,
  type Tokens,
  tryRefresh,
} from '../support/http-client.ts'
import { until } from '../support/until.ts'
import { HOME } from './guesses.ts'
import { beginHeld, RIGHT } from './held-sign-ins.ts'

/** Changes the account of this name; a refresh of a session that began before is then as `gives` says. */
interface Row {
  readonly name: string
  readonly change: (store: Store, name: string, deployment: Deployment) => Promise<unknown>
  readonly gives: string
}

const userOf = async (store: Store, name: string) => {
  const user = await store.users.findByUsername(name)
  if (!user) throw new Error(`no user ${name}`)
  return user
}
const changeClient = (change: Partial<Client>) => (store: Store, name: string) =>
  store.clients.change(name, change)

const ROWS: readonly Row[] = [
  {
    name: 'user disabled',
    change: async (store, name) => {
      const user = await userOf(store, name)
      await store.users.change(user.sub, withoutAccess(user))
    },
    gives: 'invalid_grant',
  },
  {
    name: 'user disabled and enabled again',
    change: async (store, name) => {
      const user = await userOf(store, name)
      await store.users.change(user.sub, withoutAccess(user))
      await store.users.change(user.sub, { disabled: false })
    },
    gives: 'invalid_grant',
  },
  {
    name: 'user deleted',
    change: async (store, name) => store.users.delete(await userOf(store, name)),
    gives: 'invalid_grant',
  },
  {
    name: 'user deleted and made anew under the same name',
    change: async (store, name, deployment) => {
      await store.users.delete(await userOf(store, name))
      await deployment.addUser(name, `password of ${name}`)
    },
    gives: 'invalid_grant',
  },
  {
    name: 'password changed',
    change: async (store, name) => {
      const user = await userOf(store, name)
      await store.users.change(user.sub, withPassword(user, String(user.passwordHash)))
    },
    gives: 'invalid_grant',
  },
  {
    name: 'user signed out everywhere',
    change: async (store, name) => {
      const user = await userOf(store, name)
      await store.users.change(user.sub, withoutSessions(user))
    },
    gives: 'invalid_grant',
  },
  { name: 'client disabled', change: changeClient({ disabled: true }), gives: 'invalid_client' },
  { name: 'client deleted', change: (store, name) => store.clients.delete(name), gives: 'invalid_client' },
  {
    name: 'client deleted and registered anew',
    change: async (store, name) => {
      await store.clients.delete(name)
      const grants = ['password', 'refresh_token'] as const
      await store.clients.create(
        newClient({ clientId: name, type: 'public', grants, scopes: ['read', 'write'] }),
      )
    },
    gives: 'invalid_grant',
  },
  {
    name: 'client signed out everywhere',
    change: async (store, name) => {
      const client = await store.clients.find(name)
      await store.clients.change(name, withoutSessions(client as Client))
    },
    gives: 'invalid_grant',
  },
  { name: 'grant removed', change: changeClient({ grants: ['password'] }), gives: 'unauthorized_client' },
]

// Each change waits on Redis until every server knows; so all rows at once.
t.jobs = STORE_KINDS.length
for (const kind of STORE_KINDS) {
  t.test(`C25 what changed since the sign-in, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const { url } = await deployment.startServer()
    const nameOf = (row: Row) => row.name.replaceAll(' ', '-')
    const begun: { row: Row; account: Credentials; tokens: Tokens }[] = []
    for (const row of ROWS) {
      const account = await deployment.addAccount(nameOf(row))
      const tokens = await signIn(url, account)
      t.equal(
        (await tryRefresh(url, tokens.refresh_token, { client_id: account.client_id })).status,
        200,
        `${row.name}: before`,
      )
      begun.push({ row, account, tokens: await signIn(url, account) })
    }
    const bystander = await deployment.addAccount('bystander')
    const untouched = await signIn(url, bystander)

    await deployment.withStore((store) =>
      Promise.all(begun.map(({ row, account }) => row.change(store, account.client_id, deployment))),
    )
    for (const { row, account, tokens } of begun) {
      const { client_id } = account
      expectOAuthError(t, await tryRefresh(url, tokens.refresh_token, { client_id }), row.gives, row.name)
      expectOAuthError(
        t,
        await tryRefresh(url, tokens.refresh_token, { client_id, scope: 'read' }),
        row.gives,
        `${row.name}, scope`,
      )
    }
    t.equal(
      (await tryRefresh(url, untouched.refresh_token, { client_id: 'bystander' })).status,
      200,
      'the others go on',
    )

    t.test('a disabled client that is enabled again: its sessions waited', async (t) => {
      const waited = begun.find(({ row }) => row.name === 'client disabled')
      if (!waited) return t.fail('no such row')
      const { client_id } = waited.account
      await deployment.withStore((store) => store.clients.change(client_id, { disabled: false }))
      t.equal((await tryRefresh(url, waited.tokens.refresh_token, { client_id })).status, 200)
    })

    t.test('what the client may no longer have is not granted again', async (t) => {
      const shrinking = await deployment.addAccount('shrinking', {
        audiences: ['https://one.example', 'https://two.example'],
      })
      const { client_id } = shrinking
      const held = await signIn(url, shrinking)
      const shrink = { scopes: ['read'], audiences: ['https://one.example'] }
      await deployment.withStore(async (store) => {
        const client = (await store.clients.find(client_id)) as Client
        return store.clients.change(client_id, withRegistration(client, shrink))
      })
      const refusedOrNarrowed = (name: string, answer: Answer) => {
        if (answer.status !== 200) return t.equal(answer.status, 400, `${name}: refused`)
        t.equal(answer.json?.scope, 'read', `${name}: the scope is narrowed`)
        const { scope, aud } = claimsOf(String(answer.json?.access_token))
        t.equal(scope, 'read', `${name}: also in the access token`)
        return t.equal(aud, 'https://one.example', `${name}: so is the audience`)
      }
      refusedOrNarrowed('rotation', await tryRefresh(url, held.refresh_token, { client_id }))
      refusedOrNarrowed('repeat', await tryRefresh(url, held.refresh_token, { client_id }))
      expectOAuthError(
        t,
        await tryRefresh(url, held.refresh_token, { client_id, scope: 'write' }),
        'invalid_scope',
      )
    })
  })
}

/** Changes the client while it signs a user in; asked again, it is answered as `gives` says, or well. */
const MEANWHILE: Readonly<Record<string, { change: Row['change']; gives?: string }>> = {
  disabled: { change: changeClient({ disabled: true }), gives: 'invalid_client' },
  deleted: { change: (store, name) => store.clients.delete(name), gives: 'invalid_client' },
  'without-the-grant': { change: changeClient({ grants: ['refresh_token'] }), gives: 'unauthorized_client' },
  'without-the-scope': { change: changeClient({ scopes: ['read'] }), gives: 'invalid_scope' },
  'of-another-audience': { change: changeClient({ audiences: ['https://api.example'] }) },
  'signed-out': {
    change: async (store, name) => {
      const client = (await store.clients.find(name)) as Client
      await store.clients.change(name, withoutSessions(client))
    },
  },
}

for (const kind of STORE_KINDS) {
  t.test(`a client that changes while it signs somebody in, on ${kind}`, async (t) => {
    const { deployment, ask, held, goOn, letGo } = await beginHeld(t, kind, {})
    const asked = (name: string) =>
      ask(HOME, { client_id: name, username: name, password: RIGHT, scope: 'read write' })
    const rows = Object.entries(MEANWHILE)
    for (const name of ['unchanged', ...rows.map(([name]) => name)])
      await deployment.addClient(name, { scopes: ['read', 'write'] })

    const unchanged = asked('unchanged')
    const meanwhile = rows.map(([name]) => asked(name))
    await until('all are under way', () => held.length === 1 + rows.length)
    await deployment.withStore((store) =>
      Promise.all(rows.map(([name, { change }]) => change(store, name, deployment))),
    )
    goOn()
    t.equal((await unchanged).status, 200)
    for (const [i, answer] of (await Promise.all(meanwhile)).entries())
      expectUnavailable(t, answer, rows[i]?.[0])
    letGo()
    for (const [name, { gives }] of rows) {
      const again = await asked(name)
      if (gives === undefined) t.equal(again.status, 200, `${name}, asked again`)
      else expectOAuthError(t, again, gives, `${name}, asked again`)
    }
  })
}
