import { hashSync as bcrypt } from '@node-rs/bcrypt'
import t, { type Test } from 'tap'
import { IN_COMMAND, startPasswordHashing } from '../../src/accounts/password-hashing.ts'
import { type User, withPassword } from '../../src/accounts/user.ts'
import { createRehashing } from '../../src/grants/rehash.ts'
import { parseStoreUrl } from '../../src/stores/location.ts'
import { openStore } from '../../src/stores/open-store.ts'
import { someUser } from '../stores/records.ts'
import { deploy, STORE_KINDS } from '../support/deployment.ts'

const BCRYPT = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
const PASSWORD = 'U*U'
const imported = () => someUser({ passwordHash: BCRYPT })

function start(t: Test) {
  const passwords = startPasswordHashing(IN_COMMAND)
  t.teardown(() => passwords.close())
  return passwords
}

for (const kind of STORE_KINDS) {
  t.test(`the hash of an imported user is replaced, on ${kind}`, async (t) => {
    const passwords = start(t)
    const deployment = await deploy(t, kind)
    await deployment.withStore(async (store) => {
      const rehashing = createRehashing(store, passwords)
      const hashOf = async ({ sub }: User) => (await store.users.find(sub))?.passwordHash ?? ''

      const user = imported()
      await store.users.create(user)
      for (let i = 0; i < 3; i += 1) rehashing.consider(user, PASSWORD)
      await rehashing.settled()
      const replaced = await hashOf(user)
      t.equal(await passwords.verify(PASSWORD, replaced), true)
      t.match(replaced, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
      rehashing.consider({ ...user, passwordHash: replaced }, PASSWORD)
      await rehashing.settled()
      t.equal(await hashOf(user), replaced, 'one of ours stays')

      const changed = imported()
      await store.users.create(changed)
      rehashing.consider(changed, PASSWORD)
      await store.users.change(changed.sub, withPassword(changed, 'the hash of another password'))
      await rehashing.settled()
      t.equal(await hashOf(changed), 'the hash of another password', 'a password that changed meanwhile wins')

      const many = Array.from({ length: 40 }, imported)
      await store.users.createMany(many)
      const replacedOf = async () =>
        (await Promise.all(many.map(hashOf))).filter((hash) => hash !== BCRYPT).length
      for (const one of many) rehashing.consider(one, PASSWORD)
      await rehashing.settled()
      t.equal(await replacedOf(), 16, 'so many passwords are held at most')
      const read = await Promise.all(many.map(({ sub }) => store.users.find(sub)))
      for (const one of read) rehashing.consider(one as User, PASSWORD)
      await rehashing.settled()
      t.equal(await replacedOf(), 32, 'the next sign-ins do the others')
    })
  })
}

t.test('a bcrypt hash stays where it does not see the end of the password', async (t) => {
  const passwords = start(t)
  const deployment = await deploy(t, 'lmdb')
  await deployment.withStore(async (store) => {
    const rehashing = createRehashing(store, passwords)
    const isReplaced = async (right: string, typed: string) => {
      const user = someUser({ passwordHash: bcrypt(right, { cost: 4 }) })
      await store.users.create(user)
      t.equal(await passwords.verify(typed, user.passwordHash), true, 'it is let in')
      rehashing.consider(user, typed)
      await rehashing.settled()
      return (await store.users.find(user.sub))?.passwordHash !== user.passwordHash
    }
    const [start, umlauts] = ['x'.repeat(72), 'ä'.repeat(36)]
    t.equal(await isReplaced(`${start} and more`, `${start} und mehr`), false, 'a typo at the end')
    t.equal(await isReplaced(`${start} and more`, start), false, 'an end that was left out')
    t.equal(await isReplaced(umlauts, `${umlauts}x`), false, '72 bytes are fewer characters')
    t.equal(await isReplaced('ä'.repeat(35), 'ä'.repeat(35)), true, 'up to there it is all there is')
    t.equal(
      await isReplaced('u\u0308'.repeat(24), 'u\u0308'.repeat(24)),
      false,
      'and so are those of each form',
    )
  })
})

t.test('where it cannot be written nothing is said of it', async (t) => {
  const passwords = start(t)
  const store = await openStore(parseStoreUrl('redis://127.0.0.1:1'), {
    waitReplicas: 0,
    onChange: () => undefined,
  })
  t.teardown(() => store.close())
  const rehashing = createRehashing(store, passwords)
  rehashing.consider(imported(), PASSWORD)
  // An error that nobody catches would fail the test.
  t.equal(await rehashing.settled(), undefined)
  const closed = startPasswordHashing(IN_COMMAND)
  const late = createRehashing(store, closed)
  for (let i = 0; i < 5; i += 1) late.consider(imported(), PASSWORD)
  await closed.close()
  t.equal(await late.settled(), undefined, 'nor when the server closes meanwhile')
})
