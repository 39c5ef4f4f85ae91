import { cpSync, rmSync } from 'node:fs'
import t from 'tap'
import { auditEvent, type Deployment, deploy, STORE_KINDS } from '../support/deployment.ts'
import { claimsOf, refresh, signIn, type Tokens } from '../support/http-client.ts'
import type { ServerProcess } from '../support/processes.ts'

/** Remembers what the store holds of a session now; the returned function brings that back. */
async function remember(
  { redis, dataDir, startServer, closeStore }: Deployment,
  server: ServerProcess,
  sid: string,
) {
  if (redis) {
    const key = `pawl:f:{${sid.slice(0, 12)}}${sid.slice(12)}`
    const client = redis.client()
    const record = await client.dumpBuffer(key)
    const msToLive = await client.pttl(key)
    return async () => {
      await client.restore(key, msToLive, record as Buffer, 'REPLACE')
      client.disconnect()
      return server
    }
  }
  const copy = `${dataDir}.copy`
  await server.stop()
  await closeStore()
  cpSync(dataDir, copy, { recursive: true })
  const again = { PORT: String(server.port), MANAGEMENT_PORT: String(server.managementPort) }
  const next = await startServer(again)
  return async () => {
    await next.stop()
    await closeStore()
    rmSync(dataDir, { recursive: true })
    cpSync(copy, dataDir, { recursive: true })
    return startServer(again)
  }
}

for (const kind of STORE_KINDS) {
  t.test(`a store that lost rotations is healed, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const ada = await deployment.addAccount('ada')
    const first = await deployment.startServer()
    const { url } = first
    const turn = ({ refresh_token }: Tokens) => refresh(url, refresh_token, { client_id: 'ada' })

    const g1 = await turn(await signIn(url, ada))
    const { sid, auth_time } = claimsOf(g1.access_token)
    const rollBack = await remember(deployment, first, String(sid))
    const g2 = await turn(g1)
    const g3 = await turn(g2)
    const g4 = await turn(g3)
    const server = await rollBack()
    const known = await deployment.withStore((store) => store.families.look(String(sid)))
    t.equal(known.family?.generation, 1, 'the store is back at generation 1, the client holds 4')

    const g5 = await turn(g4)
    t.equal(claimsOf(g5.access_token).sid, sid, 'the session continues')
    t.equal(claimsOf(g5.access_token).auth_time, auth_time)
    await auditEvent(server, 'refresh.healed', { sid, presented: 4, current: 1 })
    // Told later, it lives for less.
    const withoutAge = ({ expires_in: _, ...others }: Tokens) => others
    t.strictSame(withoutAge(await turn(g4)), withoutAge(g5), 'a repeat gets the same successor')
    t.ok(await turn(g5))
    await t.rejects(turn(g3), /invalid_grant/, 'an older token is reuse, as ever')
    await auditEvent(server, 'refresh.reuse', { sid, presented: 3, current: 6 })
  })
}
