import t from 'tap'
import { deploy } from '../support/deployment.ts'
import { passTime, SPREAD } from '../support/key-rings.ts'
import { switchUnderLoad } from './signing-alg-switch.ts'

t.test('SIGNING_ALG is changed on servers at work, one after the other: no token is refused', (t) =>
  switchUnderLoad(t, false),
)

t.test('what the commands say of a switch', async (t) => {
  const deployment = await deploy(t, 'lmdb')
  const keysDir = String(deployment.env.KEYS_DIR)
  const pawl = (line: string, env = {}) => deployment.cli(line.split(' '), '', env)
  t.equal((await pawl('keys generate')).code, 0, 'the first key of all')
  t.equal((await pawl('keys generate --use refresh')).code, 0)
  t.match(await pawl('doctor', { SIGNING_ALG: 'ES256' }), {
    stdout: /^note +KEYS_DIR: there is no key for ES256 yet\. The next start makes it, and it signs twelve/m,
  })

  t.equal((await pawl('keys generate --alg ES256')).code, 0)
  const TIME = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ'
  const { stdout } = await pawl('keys list')
  t.match(stdout, new RegExp(`^signing +[\\w-]{43} +RS256 +active +${TIME} +-$`, 'm'))
  t.match(stdout, new RegExp(`^signing +[\\w-]{43} +ES256 +active +${TIME} +sign from ${TIME}$`, 'm'))
  t.match(await pawl('doctor', { SIGNING_ALG: 'ES256' }), {
    code: 0,
    stdout: new RegExp(
      `^note +KEYS_DIR: the first key for ES256, .* signs from ${TIME} on.* Until then RS256 does`,
      'm',
    ),
  })
  passTime(keysDir, 'signing-es256', SPREAD)
  t.match((await pawl('doctor', { SIGNING_ALG: 'ES256' })).stdout, /signs with ES256$/m)
  t.match((await pawl('keys list')).stdout, new RegExp(`ES256 +active +${TIME} +-$`, 'm'))

  t.match(await pawl('keys generate --alg ES384'), { code: 64, stderr: '--alg takes RS256, ES256, EdDSA' })
  t.match(await pawl('keys generate --use refresh --alg ES256'), {
    code: 64,
    stderr: '--alg is for signing keys',
  })
})
