import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { newClient } from '../accounts/client.ts'
import { withPassword } from '../accounts/user.ts'
import { type Config, type Environment, isLoopback, readConfig } from '../config/config.ts'
import type { TokenServices } from '../grants/grant.ts'
import { type Arguments, type Command, CommandError, noOperands, UsageError } from './command.ts'
import { pinoPretty } from './pretty.ts'
import { addUser } from './user.ts'

const DEMO = 'demo'
const DEMO_SCOPES = ['read', 'write']

export const DEV: Command = {
  name: 'dev',
  operands: '',
  summary: 'run a server to try out: embedded store, a demo client and user, loopback only',
  details:
    'Goes by the same variables as serve, so that the other commands, in the same folder, act on the same store. The\n' +
    'demo user gets a new random password at each start.',
  options: {
    port: { type: 'string', value: 'PORT', help: 'instead of PORT; 0 for any free port' },
    temporary: { type: 'boolean', help: 'a store and keys of its own, which are gone when it stops' },
    json: {
      type: 'boolean',
      help: 'print one line of JSON (issuer, client, user, password, …) for end-to-end tests',
    },
  },
  async run(args, { environment, print, untilStopped }) {
    noOperands(args)
    const home = args.values.temporary ? mkdtempSync(join(tmpdir(), 'pawl-dev-')) : undefined
    const clean = () => home && rmSync(home, { recursive: true, force: true })
    try {
      const config = readConfig(await devEnvironment(args, environment, home))
      requireHarmless(config, environment)
      // Standard output is for what was asked for: the lines to paste, or the one line of JSON.
      const log = pino({ level: config.logLevel, base: null }, await pinoPretty(2))
      // Loaded here, since the commands that serve nothing need not wait for it.
      const { startServer } = await import('../http/server.ts')
      const server = await startServer(config, log)
      try {
        const password = await addDemo(server.services, config)
        const lines = args.values.json
          ? [jsonLine(config, server.managementUrl!, password)]
          : story(config, password)
        for (const line of lines) print(line)
        await untilStopped(server.close)
      } finally {
        await server.close()
      }
      return 0
    } finally {
      clean()
    }
  },
}

async function devEnvironment(
  args: Arguments,
  environment: Environment,
  home: string | undefined,
): Promise<Environment> {
  const { port: given } = args.values
  if (given !== undefined && !/^\d{1,5}$/.test(String(given))) throw new UsageError('--port takes a port')
  const port = given === '0' ? String(await freePort()) : given
  return {
    ...environment,
    ...(typeof port === 'string' && { PORT: port }),
    // Where the public port is any, so is the other: several may run at once.
    ...(given === '0' && { MANAGEMENT_PORT: environment.MANAGEMENT_PORT ?? '0' }),
    ...(home && { STORE_URL: `lmdb:${join(home, 'data')}`, KEYS_DIR: join(home, 'keys') }),
  }
}

/** The issuer must name the port, so the port is chosen before it is listened on. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

function requireHarmless(config: Config, environment: Environment): void {
  if (config.store.kind !== 'lmdb') {
    throw new CommandError('pawl dev makes a demo user, and STORE_URL is no embedded store: use pawl serve')
  }
  if (environment.NODE_ENV === 'production') {
    throw new CommandError('pawl dev has a demo user and is not for NODE_ENV=production: use pawl serve')
  }
  const hosts = {
    ISSUER: new URL(config.issuer).hostname,
    HOST: config.host,
    MANAGEMENT_HOST: config.managementHost,
  }
  for (const [name, host] of Object.entries(hosts)) {
    if (!isLoopback(host))
      throw new CommandError(
        `pawl dev is for this machine alone, and ${name} is not on loopback: use pawl serve`,
      )
  }
}

/** Makes the demo client and user where they are not there yet. @returns the user's new password. */
async function addDemo({ store, passwords }: TokenServices, { passwordMinLength }: Config): Promise<string> {
  const password = randomBytes(48).toString('base64url').slice(0, Math.max(16, passwordMinLength))
  await store.clients.create(
    newClient({ clientId: DEMO, type: 'public', grants: ['password', 'refresh_token'], scopes: DEMO_SCOPES }),
  )
  const user = await store.users.findByUsername(DEMO)
  if (user) {
    await store.users.change(user.sub, {
      ...withPassword(user, await passwords.hash(password)),
      disabled: false,
    })
  } else {
    await addUser(store, passwords, DEMO, password)
  }
  return password
}

function jsonLine(config: Config, managementUrl: string, password: string): string {
  return JSON.stringify({
    issuer: config.issuer,
    client: DEMO,
    user: DEMO,
    password,
    scope: DEMO_SCOPES.join(' '),
    token_endpoint: `${config.issuer}/token`,
    jwks_uri: `${config.issuer}/.well-known/jwks.json`,
    management: managementUrl,
  })
}

function story({ issuer, storeUrl, keysDir }: Config, password: string): string[] {
  // The command line must act on this store, wherever it is.
  const here = storeUrl === 'lmdb:./data' ? '' : `STORE_URL=${storeUrl} KEYS_DIR=${keysDir} `
  const member = (name: string) => `$(node -pe 'JSON.parse(process.argv[1]).${name}' "$TOKENS")`
  return [
    `Pawl is running at ${issuer} (store ${storeUrl}, keys in ${keysDir}). Ctrl-C stops it.`,
    '',
    'Paste these into a second terminal, in this folder.',
    '',
    '# Sign in',
    `TOKENS=$(curl -s ${issuer}/token -d grant_type=password -d client_id=${DEMO} -d username=${DEMO} -d password=${password}); echo "$TOKENS"`,
    '',
    '# Start the example resource server, which knows the public keys and nothing else, and call it',
    `ISSUER=${issuer} node examples/resource-server/server.js & until curl -s -o /dev/null http://127.0.0.1:9100/; do sleep 0.1; done`,
    `curl -s -i http://127.0.0.1:9100/hello -H "Authorization: Bearer ${member('access_token')}"; echo`,
    '',
    '# Refresh; paste it again for the next generation',
    `TOKENS=$(curl -s ${issuer}/token -d grant_type=refresh_token -d client_id=${DEMO} -d refresh_token=${member('refresh_token')}); echo "$TOKENS"`,
    '',
    '# See the session, then stop the resource server',
    `${here}npx pawl session list --user ${DEMO}; kill %1`,
    '',
    '# Production: your issuer, your store; then users and clients of your own',
    'ISSUER=https://auth.example.com STORE_URL=redis://127.0.0.1:6379 npm start',
    'npx pawl client add my-app --public --scope read; npx pawl user add ada',
    '',
  ]
}
