// The libraries: how each is run, and the settings that it needs of whoever uses it with Pawl.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exerciseApache } from './apache.mjs'
import { runScript } from './script.mjs'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

// Debian's own Python, which has Debian's packages; another one may come first on PATH. -B leaves no compiled files in
// the repository, -s looks for no packages of the user's own.
const python = (script) => (setting) => runScript('/usr/bin/python3', ['-B', '-s', here(script)], setting)

/** In an order that matters in one place: Go's tries wrong secrets until the network is throttled. */
export const LIBRARIES = [
  {
    name: 'requests-oauthlib',
    packages: ['python3-requests-oauthlib', 'python3-oauthlib'],
    settings:
      'http: `OAUTHLIB_INSECURE_TRANSPORT=1`; a refresh: `client_id` or `auth` once more; ' +
      'another scope than the session was made with: `OAUTHLIB_RELAX_TOKEN_SCOPE=1`',
    run: python('python/requests_oauthlib_client.py'),
  },
  {
    name: 'Authlib',
    packages: ['python3-authlib'],
    settings:
      '`revocation_endpoint_auth_method`, unless it is Basic; as a verifier: `claims_options`, and a look at `typ`',
    run: python('python/authlib_client.py'),
  },
  {
    name: 'PyJWT',
    packages: ['python3-jwt'],
    settings: '`algorithms`, `issuer`, `audience`, and `require` with `exp` and `client_id`',
    run: python('python/pyjwt_verifier.py'),
  },
  {
    name: 'ruby-oauth2',
    packages: ['ruby-oauth2'],
    settings: '`token_url`, `auth_scheme`',
    run: (setting) => runScript('/usr/bin/ruby', [here('ruby/client.rb')], setting),
  },
  {
    name: 'Apache mod_auth_openidc',
    packages: ['libapache2-mod-auth-openidc'],
    transports: ['https'],
    settings:
      'https; the JWT: `Require claim` for `iss` and `aud`; introspection: `OIDCOAuthTokenIntrospectionInterval -1`',
    run: exerciseApache,
  },
  {
    name: 'golang.org/x/oauth2',
    packages: ['golang-golang-x-oauth2-dev', 'golang-go'],
    settings: '`TokenURL`; `AuthStyle` spares a second request where a call fails',
    run: async (setting) => runScript(buildGo(setting.folder), [], setting),
  },
]

/** Debian's Go libraries are sources, in a GOPATH. @returns the program. */
function buildGo(folder) {
  const program = join(folder, 'go-client')
  const { status, stderr } = spawnSync('/usr/bin/go', ['build', '-o', program], {
    cwd: here('go'),
    encoding: 'utf8',
    // Without CGO it needs no C compiler.
    env: { ...process.env, GOPATH: '/usr/share/gocode', GO111MODULE: 'off', GOFLAGS: '', CGO_ENABLED: '0' },
  })
  if (status !== 0) throw new Error(`go build: ${stderr}`)
  return program
}
