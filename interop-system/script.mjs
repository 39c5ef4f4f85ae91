// Runs a language's script with the settings in its environment.
import { execFile } from 'node:child_process'

const TIMEOUT_MS = 120_000

/** @returns what it printed, in lines; one more that says so when it did not end well. */
export async function runScript(program, args, setting) {
  const env = await environmentOf(setting)
  const { code, stdout, stderr } = await new Promise((resolve) => {
    execFile(program, args, { env, timeout: TIMEOUT_MS }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? error?.signal ?? 0, stdout, stderr }),
    )
  })
  const lines = stdout.split('\n').filter((line) => line !== '')
  const toldWhy = lines.some((line) => line.startsWith('failed '))
  if (code !== 0 && !toldWhy) lines.push(`failed to run: it ended with ${code}\n${stderr}`)
  return lines
}

async function environmentOf({ deployment, transport, issuer, tokens, narrowed }) {
  const { user, audience, backend, api, caFile } = deployment
  const { PATH, HOME } = process.env
  return {
    PATH,
    HOME,
    // Each language has its own name for a private authority.
    ...(transport === 'https' && { REQUESTS_CA_BUNDLE: caFile, SSL_CERT_FILE: caFile }),
    // The only one of them that refuses http otherwise.
    ...(transport === 'http' && { OAUTHLIB_INSECURE_TRANSPORT: '1' }),
    PAWL_ISSUER: issuer,
    PAWL_USERNAME: user.username,
    PAWL_PASSWORD: user.password,
    PAWL_APP_ID: 'app',
    PAWL_BACKEND_ID: backend.client_id,
    PAWL_BACKEND_SECRET: backend.client_secret,
    PAWL_API_ID: api.client_id,
    PAWL_API_SECRET: api.client_secret,
    PAWL_AUDIENCE: audience,
    PAWL_NARROWED_ID: 'narrowed',
    PAWL_NARROWED_REFRESH_TOKEN: narrowed,
    PAWL_GOOD_TOKEN: tokens.good,
    PAWL_BAD_TOKENS: JSON.stringify(tokens.bad),
  }
}
