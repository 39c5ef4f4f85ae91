// A store, clients and a user made by the command line, and two servers over them: one as in production, behind a proxy
// that speaks TLS, and one as in development, with plain http.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { freePort } from '../dist/test/support/free-port.js'
import { runCli, startServer } from '../dist/test/support/processes.js'
import { writeCertificates } from '../dist/test/support/tls-certificate.js'

const USERNAME = 'ada'
// What a careless encoding would change.
const PASSWORD = 'correct horse, 50 € & a %+ staple'
// The audience, and the client by which the resource server introspects: they are often called the same.
const API = 'api'

/** Prepares it in this folder. Stop what it has started with `stop`. */
export async function deploy(folder) {
  const env = {
    STORE_URL: `lmdb:${join(folder, 'data')}`,
    KEYS_DIR: join(folder, 'keys'),
    DEFAULT_AUDIENCE: API,
  }
  const started = []

  async function pawl(args, stdin = '') {
    const { code, stdout, stderr } = await runCli(args, { env, cwd: folder, stdin })
    if (code !== 0) throw new Error(`pawl ${args.join(' ')} failed: ${stderr}`)
    return stdout
  }
  const addClient = async (...args) => {
    const scopes = ['--scope', 'read', '--scope', 'write']
    return JSON.parse(await pawl(['client', 'add', ...args, ...scopes, '--json']))
  }

  async function serve(port, issuer) {
    const settings = { ...env, PORT: String(port), ISSUER: issuer, LOG_LEVEL: 'warn' }
    started.push(await startServer({ env: settings, cwd: folder }))
  }

  async function stop() {
    for (const one of started.reverse()) await one.stop()
  }

  try {
    const grants = ['password', 'refresh_token', 'client_credentials'].flatMap((grant) => ['--grant', grant])
    await addClient('app', '--public')
    const backend = await addClient('backend', '--confidential', ...grants)
    // A resource server needs no grant at all.
    const api = await addClient(API, '--confidential', '--grant', '', '--introspect', 'yes')
    await addClient('elsewhere', '--public', '--audience', 'https://elsewhere.example')
    await addClient('brief', '--public', '--access-token-ttl', '1')
    await addClient('narrowed', '--public')
    await pawl(['user', 'add', USERNAME, '--password-stdin'], PASSWORD)

    const certificates = await writeCertificates(folder)
    const [httpPort, behindPort] = [await freePort(), await freePort()]
    const proxy = await startTlsProxy(certificates, behindPort)
    started.push(proxy)
    const issuers = { https: `https://127.0.0.1:${proxy.port}`, http: `http://127.0.0.1:${httpPort}` }
    await serve(behindPort, issuers.https)
    await serve(httpPort, issuers.http)

    return {
      user: { username: USERNAME, password: PASSWORD },
      audience: API,
      backend,
      api,
      caFile: certificates.ca,
      issuers,
      /** Where the server of this issuer is reached without TLS. */
      urls: { https: `http://127.0.0.1:${behindPort}`, http: issuers.http },
      pawl,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A proxy that ends TLS and passes on what is inside, as in production. */
async function startTlsProxy({ key, cert }, target) {
  const sockets = new Set()
  const server = createServer({ key: await readFile(key), cert: await readFile(cert) }, (outside) => {
    const inside = connect(target, '127.0.0.1')
    for (const [from, to] of [
      [outside, inside],
      [inside, outside],
    ]) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => sockets.delete(from))
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    port: server.address().port,
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
