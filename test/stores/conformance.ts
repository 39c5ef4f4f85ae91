import { type Test, test } from 'tap'
import { testAttempts, testNetworks } from './conformance/attempts.ts'
import { testAttemptsModel } from './conformance/attempts-model.ts'
import { testAudit } from './conformance/audit.ts'
import { testClients } from './conformance/clients.ts'
import { testContention } from './conformance/contention.ts'
import { testEquivalence } from './conformance/equivalence.ts'
import { testFamilies } from './conformance/families.ts'
import { testLifetimes } from './conformance/lifetimes.ts'
import { testSessionCap } from './conformance/session-cap.ts'
import { testUsers } from './conformance/users.ts'
import { openHandle } from './handles.ts'

/**
 * What every store must do, told by what its callers see.
 *
 * @param prepare begins a store and returns its STORE_URL, under which handles are opened here and in other processes.
 */
export function conformance(name: string, prepare: (t: Test) => Promise<string>): void {
  test(`${name} keeps the contract of a store`, async (t) => {
    const url = await prepare(t)
    const store = await openHandle(t, url)
    const other = await openHandle(t, url)
    await t.test('clients', (t) => testClients(t, store, other))
    await t.test('users', (t) => testUsers(t, store, other))
    await t.test('families', (t) => testFamilies(t, store, other))
    await t.test('audit', (t) => testAudit(t, store, other))
    await t.test('session cap', (t) => testSessionCap(t, store, other))
    await t.test('attempts', (t) => testAttempts(t, store, other))
    await t.test('attempts against their model', (t) => testAttemptsModel(t, store, other))
    await t.test('networks', (t) => testNetworks(t, store, other))
    await t.test('lifetimes', (t) => testLifetimes(t, store))
    await t.test('equivalence', (t) => testEquivalence(t, store, other))
    await t.test('contention', (t) => testContention(t, store, other, url))
  })
}
