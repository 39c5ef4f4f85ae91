import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { importRows, ROW_PASSWORD } from '../../bench/import-rows.ts'
import { type Deployment, deploy, STORE_KINDS } from '../support/deployment.ts'
import { expectOAuthError } from '../support/expect.ts'
import { claimsOf, refresh, signIn, trySignIn } from '../support/http-client.ts'
import { runHere } from '../support/run-here.ts'
import { until } from '../support/until.ts'

/** One of each kind that has a text of its own; vectors of other implementations are in imported-hash.test.ts. */
const KINDS: Record<string, [hash: unknown, password: string]> = {
  argon2i: [
    '$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA',
    'password',
  ],
  'cheap argon2id': [
    '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
    'password',
  ],
  bcrypt: ['$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U'],
  scrypt: [
    '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E',
    'password',
  ],
  firebase: [
    {
      passwordHash:
        'lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==',
      salt: '42xEC+ixf3L2lw==',
    },
    'user1password',
  ],
  passlib: [
    '$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ',
    'password',
  ],
  django: ['pbkdf2_sha1$1000$seasalt$FQdndNiMSpBoYv8RbX3Mq/+8C7o=', 'correct horse, bättery ☂'],
  keycloak: [
    {
      type: 'password',
      secretData:
        '{"value":"kTQbIMVfBWJCZJkzs9KFZ3pjwNKW7W64TiwTeGB1tzuhLUhEosJ34KNmjLnVFEcZxU3HX89WSglwSB5xSuszhg==","salt":"yMnKy8zNzs/Q0dLT1NXW1w==","additionalParameters":{}}',
      credentialData: '{"hashIterations":27500,"algorithm":"pbkdf2-sha256","additionalParameters":{}}',
    },
    'correct horse, bättery ☂',
  ],
}
const SIGNER_KEY = 'jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=='
const BCRYPT = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'

const ndjson = (rows: readonly unknown[]) =>
  rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n')

/** Imports with `--json`. @returns the summary, the exit code, and the report of the refused. */
async function importer(
  deployment: Deployment,
  text: string,
  more: readonly string[] = [],
  name = 'users.ndjson',
) {
  const file = join(deployment.cwd, name)
  const report = join(deployment.cwd, 'refused.ndjson')
  writeFileSync(file, text)
  const { code, stdout, stderr } = await deployment.cli([
    'user',
    'import',
    file,
    '--json',
    '--report',
    report,
    ...more,
  ])
  const lines = readFileSync(report, 'utf8').split('\n')
  const refused = lines.filter((line) => line !== '').map((line) => JSON.parse(line))
  return { code, stderr, refused, summary: stdout === '' ? undefined : JSON.parse(stdout) }
}

const hashOf = (deployment: Deployment, username: string) =>
  deployment.withStore(async (store) => (await store.users.findByUsername(username))?.passwordHash)

for (const kind of STORE_KINDS) {
  t.test(`pawl user import, beside running servers on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    await deployment.addClient('web', { scopes: ['read'] })
    const server = await deployment.startServer()
    const second = await deployment.startServer()
    const signInAs = (username: string, password: string, { url } = server) =>
      signIn(url, { client_id: 'web', username, password })
    const trySignInAs = (username: string, password: string) =>
      trySignIn(server.url, { client_id: 'web', username, password })

    t.test('every kind signs in, goes on, and is argon2id from then on', async (t) => {
      const keyFile = join(deployment.cwd, 'signer-key')
      writeFileSync(keyFile, `${SIGNER_KEY}\n`)
      const rows = Object.entries(KINDS).map(([username, [password_hash]]) => ({ username, password_hash }))
      const done = await importer(deployment, ndjson(rows), ['--firebase-signer-key-file', keyFile])
      t.match(done, { code: 0, stderr: '', refused: [] })
      const { seconds, ...counts } = done.summary
      t.ok(seconds > 0)
      t.strictSame(counts, {
        rows: rows.length,
        created: rows.length,
        already_there: 0,
        refused: 0,
        dry_run: false,
      })

      for (const [username, [, password]] of Object.entries(KINDS)) {
        const before = await hashOf(deployment, username)
        const wrong = await trySignInAs(username, `${password}x`)
        expectOAuthError(t, wrong, 'invalid_grant', `${username}: a wrong password`)
        t.equal(await hashOf(deployment, username), before, `${username}: which replaces nothing`)
        // Both servers see the password at once.
        const [one, two] = await Promise.all([
          signInAs(username, password),
          signInAs(username, password, second),
        ])
        const after = await until(`the hash of ${username} is ours`, async () => {
          const now = await hashOf(deployment, username)
          return now?.startsWith('$argon2id$v=19$m=19456,t=2,p=1$') && now
        })
        t.not(after, before)
        for (const { refresh_token } of [one, two]) {
          t.ok(
            await refresh(server.url, refresh_token, { client_id: 'web' }),
            `${username}: the session goes on`,
          )
        }
        t.ok(await signInAs(username, password), `${username}: once more`)
        t.equal(await hashOf(deployment, username), after, `${username}: and the hash stays`)
      }
    })

    t.test('sub, claims and disabled are taken over', async (t) => {
      const rows = [
        { username: 'Zoë', password_hash: BCRYPT, sub: 'auth0|zoe', claims: { roles: ['admin'] } },
        { username: 'off', password_hash: BCRYPT, disabled: true },
      ]
      t.match(await importer(deployment, ndjson(rows)), { code: 0, summary: { created: 2 } })
      t.match(claimsOf((await signInAs('zoë', 'U*U')).access_token), { sub: 'auth0|zoe', roles: ['admin'] })
      expectOAuthError(t, await trySignInAs('off', 'U*U'), 'invalid_grant')
      t.equal(await hashOf(deployment, 'off'), BCRYPT, 'nobody signed in')
    })

    t.test('what is refused is reported, the others go in, and it can be run again', async (t) => {
      const row = (username: string, more: object = {}) => ({ username, password_hash: BCRYPT, ...more })
      const text = ndjson([
        row('one'),
        '',
        'garbage',
        row('ZOË'),
        row('two', { sub: 'auth0|zoe' }),
        row('three', { sub: 'web' }),
        row('four', { sub: 'with space' }),
        row('five', { claims: { sub: 'x' } }),
        row('six', { disabled: 'yes' }),
        row(' seven'),
        row('eight', { email: 'x' }),
        { username: 'nine' },
        { password_hash: BCRYPT },
        row('ten', { password_hash: '$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW' }),
        `{"username":"${'x'.repeat(70_000)}"}`,
        '[]',
        row('ONE', { password_hash: BCRYPT.replace('$2a', '$2b') }),
        row('eleven', { sub: 'Zoe' }),
        row('twelve', { sub: 'Zoe' }),
        row('last'),
      ])
      const expected = [
        [3, undefined, /not JSON/],
        [4, 'ZOË', /another user has the name/],
        [5, 'two', /another user has the sub/],
        [6, 'three', /identifier of a client/],
        [7, 'four', /sub is not 1 to 255 printable/],
        [8, 'five', /the claims have the reserved name sub/],
        [9, 'six', /neither true nor false/],
        [10, undefined, /username begins or ends with a space/],
        [11, 'eight', /a member that is none of/],
        [12, 'nine', /password_hash is missing/],
        [13, undefined, /username is missing/],
        [14, 'ten', /the password hash costs more/],
        [15, undefined, /longer than 65536 bytes/],
        [16, undefined, /no JSON object/],
        [17, 'ONE', /another user has the name/],
        [19, 'twelve', /another user has the sub/],
      ] as const
      const listOf = (refused: { line: number; username?: string; reason: string }[]) =>
        [...refused]
          .sort((a, b) => a.line - b.line)
          .map(({ line, username, reason }) => [line, username, reason])

      const rehearsed = await importer(deployment, text, ['--dry-run'])
      t.match(
        rehearsed.summary,
        { created: 5, dry_run: true },
        'rows of one file are not held against each other',
      )
      t.equal(await hashOf(deployment, 'one'), undefined, 'a rehearsal creates nothing')

      const first = await importer(deployment, text)
      t.match(first, { code: 1, summary: { rows: 19, created: 3, already_there: 0, refused: 16 } })
      t.match(listOf(first.refused), expected)
      t.notMatch(JSON.stringify(first.refused), /CCCC/, 'no hash is repeated')
      const again = await importer(deployment, text, ['--allow-refused'])
      t.match(again, { code: 0, summary: { rows: 19, created: 0, already_there: 3, refused: 16 } })
      t.ok(await signInAs('last', 'U*U'))

      const toldHere = await deployment.cli(['user', 'import', '-'], text)
      t.match(toldHere, {
        code: 1,
        stdout: /^19 rows: 0 created, 3 there already, 16 refused; /,
        stderr: /^line 3: the row is not JSON$[\s\S]*^line 4: "ZOË": another user has/m,
      })
    })

    t.test('a row with a sub is the same user, whatever has changed since', async (t) => {
      const row = { username: 'moved', password_hash: BCRYPT, sub: '8b2f3c1e-5f0a-4a6e-9d55-0d2f6a7b8c9d' }
      t.match(await importer(deployment, ndjson([row])), { code: 0, summary: { created: 1 } })
      await signInAs('moved', 'U*U')
      await until('the hash is ours', async () => (await hashOf(deployment, 'moved')) !== BCRYPT)
      t.match(await importer(deployment, ndjson([row])), {
        code: 0,
        summary: { created: 0, already_there: 1 },
      })
      t.not(await hashOf(deployment, 'moved'), BCRYPT, 'and keeps what has become of it')
      const other = await importer(deployment, ndjson([{ ...row, sub: 'another' }]))
      t.match(other, { code: 1, refused: [{ line: 1, reason: /another user has the name/ }] })
    })

    t.test('no client gets the identifier that is a user’s sub', async (t) => {
      const row = { username: 'robot', password_hash: BCRYPT, sub: 'robot' }
      t.match(await importer(deployment, ndjson([row])), { code: 0 })
      const added = await deployment.cli(['client', 'add', 'robot', '--confidential'])
      t.match(added, { code: 1, stdout: '', stderr: /A user has the sub "robot".*take another ID/ })
      t.notMatch((await deployment.cli(['client', 'list'])).stdout, /^robot /m)
    })

    t.test('CSV', async (t) => {
      const text = [
        '\ufeffusername,password_hash,claims,disabled,sub',
        `plain,${BCRYPT},,,`,
        `"quoted, ""name""",${BCRYPT},"{""roles"":[""a,b""]}",FALSE,csv-1`,
        `short,${BCRYPT}`,
        `"two\nlines",${BCRYPT},,,`,
        `claims,${BCRYPT},{,,`,
        `maybe,${BCRYPT},,perhaps,`,
        '',
      ].join('\r\n')
      const done = await importer(deployment, text, [], 'users.csv')
      t.match(done, {
        code: 1,
        summary: { rows: 6, created: 2, refused: 4 },
        refused: [
          { line: 4, reason: /has 2 columns, and the first line names 5/ },
          { line: 5, reason: /control character/ },
          { line: 7, reason: /claims that are not JSON/ },
          { line: 8, reason: /neither true nor false/ },
        ],
      })
      t.match(claimsOf((await signInAs('quoted, "name"', 'U*U')).access_token), {
        sub: 'csv-1',
        roles: ['a,b'],
      })
      const broken = await importer(
        deployment,
        `username,password_hash\nsixth,${BCRYPT}\n"x`,
        [],
        'users.csv',
      )
      t.match(broken, {
        code: 1,
        stderr: /cannot be read on from line 3 \(CSV_QUOTE_NOT_CLOSED/,
        summary: undefined,
      })
      t.equal(await hashOf(deployment, 'sixth'), BCRYPT, 'what came before is taken')
      const unknown = await importer(deployment, 'email,hash\na,b', [], 'users.csv')
      t.match(unknown, { code: 1, stderr: /must name its columns: username, password_hash/ })
    })

    t.test('thousands, of six kinds', async (t) => {
      const users = 5000
      const done = await importer(deployment, [...importRows(users)].join(''))
      t.match(done, { code: 0, summary: { rows: users, created: users } })
      t.comment(`${Math.round(users / done.summary.seconds)} rows/s`)
      for (let i = 0; i < 6; i += 1)
        t.ok(await signInAs(`user-${i}@example.com`, ROW_PASSWORD), `the ${i}th kind`)
      const { stdout } = await deployment.cli([
        'user',
        'list',
        '--json',
        '--limit',
        '3',
        '--after',
        'user-4998',
      ])
      t.equal(JSON.parse(stdout.split('\n')[0] ?? '').username, 'user-4998@example.com')
    })
  })
}

t.test('what is asked for wrongly', async (t: Test) => {
  const rows: [string[], RegExp, number?][] = [
    [[], /FILE is missing/],
    [['users.txt'], /--format takes ndjson or csv/],
    [['users.ndjson', '--format', 'xml'], /--format takes/],
    [['users.ndjson', '--firebase-rounds', '8'], /--firebase-signer-key-file is missing/],
    [['users.ndjson', '--firebase-signer-key-file', '/nonexistent'], /ENOENT.*\/nonexistent/, 1],
  ]
  for (const [args, says, code = 64] of rows) {
    t.match(await runHere(['user', 'import', ...args]), { code, stdout: '', stderr: says }, args.join(' '))
  }
})

t.test('a file that cannot be read, and a store that is not there', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const missing = await deployment.cli(['user', 'import', 'nowhere.csv'])
  t.match(missing, { code: 1, stdout: '', stderr: /^nowhere\.csv cannot be read \(ENOENT\)\. Name a file/ })
  writeFileSync(join(deployment.cwd, 'users.ndjson'), '')
  const report = ['user', 'import', 'users.ndjson', '--dry-run', '--report', './users.ndjson']
  const deep = `${'['.repeat(9000)}${']'.repeat(9000)}`
  const rows = [
    `{"username":"a","password_hash":"${BCRYPT}"}`,
    `{"username":"b","password_hash":"${BCRYPT}","claims":{"x":${deep}}}`,
  ]
  writeFileSync(join(deployment.cwd, 'deep.ndjson'), [...rows, rows[0]?.replace('"a"', '"c"')].join('\n'))
  t.match(await deployment.cli(['user', 'import', 'deep.ndjson', '--json']), {
    code: 1,
    stdout: /"created":2,"already_there":0,"refused":1/,
    stderr: /line 2: "b": the claims are nested more than 16 deep/,
  })
  t.match(await deployment.cli(report), { code: 64, stderr: /--report names the file that is imported/ })
  const away = await deployment.cli(['user', 'import', 'users.ndjson'], '', {
    STORE_URL: 'redis://127.0.0.1:1',
  })
  t.match(away, { code: 1, stderr: /STORE_URL does not answer/ })
  t.match(await deployment.cli(['user', 'import', 'users.ndjson']), { code: 0, stdout: /^0 rows: 0 created/ })
})
