// Apache with mod_auth_openidc, in an instance of its own that ends with the run.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { decodeJwt } from 'jose'
import { freePort } from '../dist/test/support/free-port.js'
import { createReaper } from '../dist/test/support/reaper.js'
import { until } from '../dist/test/support/until.js'
import { post, signIn } from './trial-tokens.mjs'

const PROGRAM = '/usr/sbin/apache2'
const CONFIG = fileURLToPath(new URL('apache/httpd.conf', import.meta.url))

/** Tries the tokens on each way of being a resource server; returns the lines that a script would print. */
export async function exerciseApache({ deployment, issuer, url, tokens }) {
  const lines = []
  async function check(what, attempt) {
    try {
      await attempt()
      lines.push(`ok ${what}`)
    } catch (error) {
      lines.push(`failed ${what}: ${error.message}`)
    }
  }

  const apache = await startApache(deployment, issuer)
  async function expectStatus(port, token, expected) {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const response = await fetch(`http://127.0.0.1:${port}/whoami`, { headers })
    const text = (await response.text()).trim()
    if (response.status !== expected) {
      throw new Error(
        `${response.status} instead of ${expected}: ${(await apache.log()).trim().split('\n').at(-1)}`,
      )
    }
    return text
  }

  try {
    for (const [way, port] of Object.entries(apache.ports)) {
      await check(`good: ${way}`, async () => {
        const user = await expectStatus(port, tokens.good, 200)
        if (user !== decodeJwt(tokens.good).sub) throw new Error(`the user is ${user}`)
      })
      await check(`refuses no token: ${way}`, () => expectStatus(port, undefined, 401))
      for (const [feature, kinds] of Object.entries(tokens.bad)) {
        for (const [kind, token] of Object.entries(kinds)) {
          await check(`refuses ${feature}: ${kind}, ${way}`, () => expectStatus(port, token, 401))
        }
      }
    }
    for (const way of ['client_secret_basic', 'client_secret_post']) {
      await check(`introspection by ${way}: a revoked session is over at once`, async () => {
        const { access_token, refresh_token } = await signIn(deployment, url, 'app')
        await expectStatus(apache.ports[way], access_token, 200)
        await post(`${url}/revoke`, { client_id: 'app', token: refresh_token })
        await expectStatus(apache.ports[way], access_token, 401)
      })
    }
    await check('discovery', () => expectStatus(apache.ports.client_secret_post, tokens.good, 200))
  } finally {
    await apache.stop()
  }
  return lines
}

async function startApache({ api, audience, caFile }, issuer) {
  // Apache gives up being root before it reads the page and the authority.
  const folder = await mkdtemp(join(tmpdir(), 'pawl-apache-'))
  await chmod(folder, 0o755)
  await mkdir(join(folder, 'public'))
  await writeFile(join(folder, 'public/whoami'), '<!--#echo var="REMOTE_USER" -->\n')
  await copyFile(caFile, join(folder, 'ca.crt'))

  const ports = {
    jwt: await freePort(),
    client_secret_basic: await freePort(),
    client_secret_post: await freePort(),
  }
  const env = {
    FOLDER: folder,
    JWT_PORT: ports.jwt,
    INTROSPECTION_PORT: ports.client_secret_basic,
    DISCOVERY_PORT: ports.client_secret_post,
    CA_FILE: join(folder, 'ca.crt'),
    ISSUER: issuer,
    AUDIENCE: audience,
    API_ID: api.client_id,
    API_SECRET: api.client_secret,
  }
  // -X: one process, so that its id is all there is to stop.
  const child = spawn(PROGRAM, ['-X', '-f', CONFIG], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const reaper = createReaper(folder)
  reaper.watch(child.pid)
  const closed = once(child, 'close').finally(() => reaper.watch(undefined))
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const log = async () => stderr + (await readFile(join(folder, 'error.log'), 'utf8').catch(() => ''))

  async function stop() {
    child.kill('SIGTERM')
    await closed
    await reaper.finish()
  }

  try {
    await until('Apache answers', async () => {
      if (child.exitCode !== null) return true
      return fetch(`http://127.0.0.1:${ports.jwt}/`)
    })
    if (child.exitCode !== null) throw new Error(`Apache has ended with ${child.exitCode}`)
  } catch (error) {
    const text = await log()
    await stop()
    throw new Error(`${error.message}\n${text}`)
  }
  return { ports, log, stop }
}
