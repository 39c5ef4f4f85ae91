import { type Test, test } from 'tap'
import { until } from '../support/until.ts'
import { AUTH_METHODS, type ClientLibrary } from './client-library.ts'
import { clientStory, errorOfRejected } from './client-story.ts'
import { badgatewayOauth2Client } from './clients/badgateway-oauth2-client.ts'
import { oauth4webapi } from './clients/oauth4webapi.ts'
import { openidClient } from './clients/openid-client.ts'
import { simpleOauth2 } from './clients/simple-oauth2.ts'
import { type Did, newRow, type Row } from './matrix.ts'
import { prepare, type Setting, USER } from './setting.ts'

const LIBRARIES = [oauth4webapi, openidClient, simpleOauth2, badgatewayOauth2Client]

/** Every client library with every method of client authentication on both stores. */
export function exerciseClients(): Row[] {
  const parts = LIBRARIES.map((library) => ({ library, row: newRow([library.name]) }))
  const stores = [
    { kind: 'lmdb', path: '' },
    { kind: 'redis', path: '/of/a/tenant' },
  ] as const
  for (const { kind, path } of stores) {
    test(`clients on ${kind}, an issuer with${path === '' ? 'out' : ''} a path`, async (t) => {
      const setting = await prepare(t, kind, path)
      await setting.deployment.startServer()
      for (const { library, row } of parts) {
        for (const method of AUTH_METHODS) {
          await row.exercise(t, method, (t, did) => clientStory(t, did, library, setting, method))
        }
      }
      if (setting.deployment.redis) {
        for (const { library, row } of parts) {
          await row.exercise(t, 'outage', (t, did) => outage(t, did, library, setting))
        }
      }
    })
  }
  return parts.map(({ row }) => row)
}

/** A store that does not answer must not look like the end of the session to any library. */
async function outage(t: Test, did: Did, library: ClientLibrary, setting: Setting): Promise<void> {
  const client = await library.connect(setting.client('none'))
  const tokens = await client.password(USER.username, USER.password)
  const redis = setting.deployment.redis!
  redis.pause()
  try {
    const error = await errorOfRejected(library, client.refresh(tokens))
    t.strictSame(error, { status: 503, code: undefined }, 'it may pass')
  } finally {
    redis.resume()
  }
  const next = await until('the store answers again', () => client.refresh(tokens))
  t.ok(next.refresh_token, 'the tokens of before are good')
  did('503')
}
