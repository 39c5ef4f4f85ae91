import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { runCommandLine } from '../../src/cli/run.ts'
import { LONGEST_LIFE, SETTLING } from '../../src/tokens/key-ring.ts'
import { deploy, STORE_KINDS } from '../support/deployment.ts'
import { idsIn, passTime, writtenRing } from '../support/key-rings.ts'

const TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`
const linesOf = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>)

for (const kind of STORE_KINDS) {
  t.test(`pawl keys rotate, on ${kind}`, async (t) => {
    const deployment = await deploy(t, kind)
    const { cli } = deployment
    const keysDir = join(deployment.cwd, 'keys')
    for (const use of ['signing', 'refresh']) await cli(['keys', 'generate', '--use', use])
    const [first = ''] = idsIn(keysDir, 'signing', 'active')

    const begun = await cli(['keys', 'rotate'])
    const [second = ''] = idsIn(keysDir, 'signing', 'next')
    const [secret = ''] = idsIn(keysDir, 'refresh', 'next')
    const expected = [
      `Added the signing key ${second}`,
      `Nothing more to do for signing before ${TIME}: promote ${second}\\. Run this again then\\.`,
      `Added the refresh-token secret ${secret}`,
      `Nothing more to do for refresh before ${TIME}: promote ${secret}\\. Run this again then\\.`,
    ]
    t.match(begun, { code: 0, stdout: new RegExp(`^${expected.join('\n')}\n$`), stderr: '' })

    await t.test('once more, nothing is done', async (t) => {
      const files = readdirSync(keysDir, { recursive: true }).sort()
      const lines = linesOf((await cli(['keys', 'rotate', '--json'])).stdout)
      t.match(lines, [
        { use: 'signing', id: second, next_step: 'promote', next_step_at: new RegExp(`^${TIME}$`) },
        { use: 'refresh', id: secret, next_step: 'promote' },
      ])
      t.strictSame(readdirSync(keysDir, { recursive: true }).sort(), files)
    })

    await t.test('what is too soon is refused, with the time and the way round', async (t) => {
      t.match(await cli(['keys', 'promote']), {
        code: 1,
        stdout: '',
        stderr: new RegExp(
          `^The next signing key can be promoted from ${TIME} on, in 12 min: not everybody knows .* --force does it now\n$`,
        ),
      })
      t.match(await cli(['keys', 'promote', secret]), {
        code: 1,
        stderr: new RegExp(`^The refresh-token secret ${secret} can be promoted from ${TIME} on, in 2 min`),
      })
      t.match(await cli(['keys', 'retire', first]), {
        code: 1,
        stderr: new RegExp(
          `^The signing key ${first} is the active one: promote another first, or.* --emergency ${first}`,
        ),
      })
      t.match(await cli(['keys', 'retire', 'nobody']), {
        code: 1,
        stderr: /^There is no key nobody in .*keys: see pawl keys list --all/,
      })
    })

    await t.test('when it is due it is done, and the list says what is next', async (t) => {
      for (const use of ['signing', 'refresh'] as const) passTime(keysDir, use, 720)
      t.match(await cli(['keys', 'rotate', '--every', '3600', '--json']), {
        code: 0,
        stdout: /^((?!done).)*$/s,
      })
      const { stdout } = await cli(['keys', 'rotate', '--use', 'signing', '--json'])
      t.match(linesOf(stdout), [
        { use: 'signing', id: second, done: 'promote' },
        { use: 'signing', done: 'generate' },
        { use: 'signing', next_step: 'promote' },
      ])
      const listed = linesOf((await cli(['keys', 'list', '--json'])).stdout)
      t.match(
        listed.map(({ use, id, alg, state, next_step }) => [use, id, alg, state, next_step].join(' ')),
        [
          `signing ${first} RS256 retiring retire`,
          `signing ${second} RS256 active `,
          /^signing [\w-]{43} RS256 next promote$/,
          /^refresh [0-9a-f]{8} HS256 active $/,
          `refresh ${secret} HS256 next promote`,
        ],
      )
      const { stdout: shown } = await cli(['keys', 'list'])
      t.match(shown, new RegExp(`^signing +${first} +RS256 +retiring +${TIME} +retire from ${TIME}$`, 'm'))
      t.match(shown, new RegExp(`^refresh +${secret} +HS256 +next +${TIME} +promote now$`, 'm'))
      t.match(await cli(['keys', 'retire', first]), {
        code: 1,
        stderr: new RegExp(
          `^The signing key ${first} can be retired from ${TIME} on.* tokens that were made with it`,
        ),
      })
      passTime(keysDir, 'signing', LONGEST_LIFE.signing + SETTLING)
      t.match(await cli(['keys', 'retire', first]), { code: 0, stdout: `Retired the signing key ${first}\n` })
      t.notMatch((await cli(['keys', 'list'])).stdout, first)
      t.match(
        (await cli(['keys', 'list', '--all'])).stdout,
        new RegExp(`^signing +${first} +RS256 +retired`, 'm'),
      )
      t.match(await cli(['keys', 'promote', first]), {
        code: 1,
        stderr: /is retired for good: add a new one/,
      })
    })

    await t.test(
      'a secret retires when the longest session under it has ended, a client’s own too',
      async (t) => {
        await deployment.addClient('lasting', { refreshTokenIdleTtl: 5_000_000 })
        const [active = ''] = idsIn(keysDir, 'refresh', 'active')
        t.match(await cli(['keys', 'promote', '--use', 'refresh', '--json']), {
          code: 0,
          stdout: `{"use":"refresh","id":"${secret}","done":"promote"}\n`,
        })
        const retiring = writtenRing(keysDir, 'refresh').find(({ id }) => id === active)
        t.match(retiring, { state: 'retiring', life: 5_000_000 })
      },
    )

    await t.test('--wait waits until it is due', async (t) => {
      await cli(['keys', 'rotate', '--use', 'refresh'])
      const [next = ''] = idsIn(keysDir, 'refresh', 'next')
      passTime(keysDir, 'refresh', SETTLING - 4)
      const { code, stdout, stderr } = await cli(['keys', 'rotate', '--use', 'refresh', '--wait'])
      t.match({ code, stdout }, { code: 0, stdout: `Promoted the refresh-token secret ${next}\n` }, stderr)
    })
  })
}

t.test('an emergency asks first', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const keysDir = join(deployment.cwd, 'keys')
  await deployment.cli(['keys', 'generate'])
  await deployment.cli(['keys', 'generate', '--use', 'refresh'])
  const [leaked = ''] = idsIn(keysDir, 'signing', 'active')

  const run = async (line: string, answer: string | undefined) => {
    const said: string[] = []
    const questions: string[] = []
    const code = await runCommandLine(line.split(' '), {
      environment: deployment.env,
      print: (line) => said.push(line),
      tell: (line) => said.push(line),
      readStdin: () => Promise.reject(new Error('it reads standard input')),
      openStdin: () => Readable.from([]),
      askSecret: () => Promise.reject(new Error('it asks for a secret')),
      ask: async (question) => {
        questions.push(question)
        return answer
      },
      untilStopped: () => Promise.reject(new Error('it serves')),
    })
    return { code, said: said.join('\n'), question: questions.join() }
  }
  const line = `keys rotate --emergency ${leaked}`
  t.match(await run(line, undefined), { code: 64, said: /there is no terminal to ask at: give --yes/ })
  t.match(await run(line, 'y'), {
    code: 1,
    said: 'Nothing was changed',
    question: `This drops the signing key ${leaked}, at once and for good. Access tokens signed with it are refused`,
  })
  t.strictSame(idsIn(keysDir, 'signing', 'active'), [leaked])
  t.match(await run('keys rotate --emergency nobody', 'yes'), { code: 1, said: /There is no key nobody/ })
  t.match(await run(line, 'yes'), { code: 0, said: `Retired the signing key ${leaked}\nAccess tokens` })
  t.not(idsIn(keysDir, 'signing', 'active')[0], leaked)
  t.match(await run(line, 'yes'), { code: 1, said: /is retired for good/ })

  const [secret = ''] = idsIn(keysDir, 'refresh', 'active')
  t.match(await run('keys rotate --emergency --use refresh', 'yes'), {
    code: 0,
    question: /This drops every refresh-token secret, .* Every session whose refresh token is under it ends/,
  })
  t.strictSame(idsIn(keysDir, 'refresh', 'retired'), [secret])
})
