import type { Test } from 'tap'
import { type Client, hashClientSecret } from '../../../src/accounts/client.ts'
import type { Store } from '../../../src/stores/contract.ts'
import { readAlong } from '../read-along.ts'
import { someClient } from '../records.ts'

export async function testClients(t: Test, store: Store, other: Store): Promise<void> {
  await t.test('a client is found as it was created, by everyone', async (t) => {
    const full = someClient({
      type: 'confidential',
      secretHash: hashClientSecret('secret'),
      scopes: ['openid', 'https://api.example/read:all'],
      audiences: ['https://api.example', 'urn:other'],
      disabled: true,
      accessTokenTtl: 60,
      refreshTokenIdleTtl: 3600,
      refreshTokenMaxTtl: 86_400,
      refreshTokenGrace: 0,
      onReuse: 'observe',
    })
    const sparse = someClient({ grants: [], scopes: [] })
    for (const client of [full, sparse]) {
      t.equal(await store.clients.find(client.clientId), undefined, 'not before')
      t.equal(await store.clients.create(client), true)
      t.strictSame(await store.clients.find(client.clientId), client)
      t.strictSame(await other.clients.find(client.clientId), client)
    }
  })

  await t.test('an identifier is given once', async (t) => {
    const client = someClient()
    t.equal(await store.clients.create(client), true)
    const usurper = someClient({ clientId: client.clientId, type: 'confidential' })
    t.equal(await store.clients.create(usurper), false)
    t.equal(await other.clients.create(usurper), false)
    t.strictSame(await other.clients.find(client.clientId), client, 'and stays with the first')
    t.equal(
      await store.clients.find(client.clientId.toUpperCase()),
      undefined,
      'identifiers are case-sensitive',
    )

    const rivals = Array.from({ length: 20 }, (_, i) =>
      someClient({ clientId: `rival-${client.clientId}`, accessTokenTtl: i + 1 }),
    )
    const created = await Promise.all(rivals.map((rival, i) => (i % 2 ? store : other).clients.create(rival)))
    t.equal(created.filter(Boolean).length, 1, 'also when twenty ask at once')
    t.strictSame(await store.clients.find(`rival-${client.clientId}`), rivals[created.indexOf(true)])
  })

  await t.test('names that mean something to JavaScript are ordinary ones', async (t) => {
    for (const clientId of ['__proto__', 'constructor', 'hasOwnProperty']) {
      t.equal(await store.clients.find(clientId), undefined)
      t.equal(await store.clients.create(someClient({ clientId })), true)
      t.match(await other.clients.find(clientId), { clientId })
    }
  })

  await t.test('whatever a request may call itself, there is no such client', async (t) => {
    for (const clientId of [
      '',
      ' ',
      '\0',
      'a\0b',
      '*',
      'é🐴',
      '\ud800',
      '/',
      'x'.repeat(400),
      'x'.repeat(16_000),
      '🐴'.repeat(4000),
    ]) {
      t.equal(await store.clients.find(clientId), undefined, JSON.stringify(clientId.slice(0, 10)))
    }
  })

  await t.test('a change replaces what it names, and when it is done everyone goes by it', async (t) => {
    const [old, next] = [hashClientSecret('old'), hashClientSecret('new')]
    const client = someClient({ accessTokenTtl: 60, secretHash: old, type: 'confidential' })
    await store.clients.create(client)
    const seen = await readAlong(
      () => other.clients.find(client.clientId),
      () => store.clients.change(client.clientId, { disabled: true, secretHash: next }),
    )
    const changed: Client = { ...client, disabled: true, secretHash: next }
    t.equal(seen.result, true)
    t.strictSame(seen.after, changed)
    t.strictSame(await store.clients.find(client.clientId), changed)
    t.ok(
      seen.during.every((found) => found?.disabled === (found?.secretHash === next)),
      'never half a change',
    )

    const many = await Promise.all([
      store.clients.change(client.clientId, { epoch: 7 }),
      other.clients.change(client.clientId, { scopes: ['read', 'write'] }),
      store.clients.change(client.clientId, {}),
      store.clients.change('nobody', { disabled: true }),
    ])
    t.strictSame(many, [true, true, true, false], 'and nothing for a client that is not there')
    t.strictSame(await other.clients.find(client.clientId), {
      ...changed,
      epoch: 7,
      scopes: ['read', 'write'],
    })
    t.equal(await store.clients.find('nobody'), undefined)
  })

  await t.test('a deleted client is gone for everyone, and its identifier is free', async (t) => {
    const client = someClient()
    await store.clients.create(client)
    const seen = await readAlong(
      () => other.clients.find(client.clientId),
      () => store.clients.delete(client.clientId),
    )
    t.equal(seen.result, true)
    t.equal(seen.after, undefined)
    t.equal(await store.clients.find(client.clientId), undefined)
    const [again, gone] = await Promise.all([
      store.clients.delete(client.clientId),
      other.clients.change(client.clientId, { disabled: true }),
    ])
    t.strictSame([again, gone], [false, false])
    const successor = someClient({ clientId: client.clientId })
    t.equal(await other.clients.create(successor), true)
    t.strictSame(await store.clients.find(client.clientId), successor)
  })

  await t.test('the list has every client once', async (t) => {
    const [kept, removed] = [someClient(), someClient()]
    for (const client of [kept, removed]) await store.clients.create(client)
    await store.clients.delete(removed.clientId)
    const listed: Client[] = []
    for await (const client of other.clients.list()) listed.push(client)
    t.strictSame(
      listed.filter(({ clientId }) => clientId === kept.clientId || clientId === removed.clientId),
      [kept],
    )
    t.equal(new Set(listed.map(({ clientId }) => clientId)).size, listed.length)
  })
}
