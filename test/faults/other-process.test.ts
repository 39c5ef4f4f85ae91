import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { deploy } from '../support/deployment.ts'

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url))

// A server on a busy machine is stopped by the scheduler at any point, and goes on later as if no time had passed. Here
// it is stopped between two looks at the store, for as long as another process needs to change what is there.
t.test('LMDB: what another process has changed is seen by the very next look', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const sub = await deployment.addUser('ada', 'the password')
  const pawl = (line: string) =>
    execFileSync(process.execPath, [MAIN, ...line.split(' ')], {
      env: { ...process.env, ...deployment.env },
      cwd: deployment.cwd,
    })
  await deployment.withStore(async (store) => {
    t.equal(await store.clients.find('app'), undefined)
    pawl('client add app --public')
    t.match(await store.clients.find('app'), { clientId: 'app', disabled: false }, 'a client that was added')
    pawl('client disable app')
    t.match(await store.clients.find('app'), { disabled: true }, 'a client that was disabled')

    t.match(await store.users.findByUsername('ada'), { sub, disabled: false })
    pawl('user disable ada')
    t.match(await store.users.findByUsername('ada'), { sub, disabled: true }, 'a user who was disabled')
    pawl('user delete ada')
    t.equal(await store.users.findByUsername('ada'), undefined, 'a user who was deleted')
  })
})
