// Clients and resource servers in other languages, from Debian's packages, with a real server: prints what failed and
// the matrix; exit code 1 if anything failed.
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createReaper } from '../dist/test/support/reaper.js'
import { deploy } from './deployment.mjs'
import { LIBRARIES } from './libraries.mjs'
import { matrixOf } from './matrix.mjs'
import { ensurePackages } from './packages.mjs'
import { makeTrialTokens, signIn } from './trial-tokens.mjs'

const TRANSPORTS = ['https', 'http']

async function exerciseAll(folder) {
  const deployment = await deploy(folder)
  try {
    const rows = LIBRARIES.map((library) => ({ library, lines: [], ok: true }))
    for (const setting of await prepareSettings(deployment, folder)) {
      for (const row of rows) {
        if (row.library.transports?.includes(setting.transport) !== false) await exercise(row, setting)
      }
    }
    return rows
  } finally {
    await deployment.stop()
  }
}

/** What the libraries meet: one setting for each transport. */
async function prepareSettings(deployment, folder) {
  const { issuers, urls } = deployment
  const settings = []
  for (const transport of TRANSPORTS) {
    const other = TRANSPORTS.find((one) => one !== transport)
    settings.push({
      deployment,
      folder,
      transport,
      issuer: issuers[transport],
      url: urls[transport],
      tokens: await makeTrialTokens(deployment, urls[transport], urls[other]),
      narrowed: (await signIn(deployment, urls[transport], 'narrowed')).refresh_token,
    })
  }
  // Its sessions have more than that.
  await deployment.pawl(['client', 'update', 'narrowed', '--scope', 'read'])
  return settings
}

async function exercise(row, setting) {
  const { library } = row
  const title = `${library.name}, ${setting.transport}`
  const lines = await library.run(setting).catch((error) => [`failed to run: ${error.message}`])
  const failed = lines.filter((line) => !line.startsWith('ok '))
  for (const line of failed) console.log(`${title}: ${line}`)
  console.error(`${title}: ${lines.length - failed.length} ok, ${failed.length} failed`)
  row.ok &&= failed.length === 0 && lines.length > 0
  row.lines.push(...lines, `ok ${setting.transport}`)
}

let reaper
try {
  ensurePackages()
  const folder = await mkdtemp(join(tmpdir(), 'pawl-interop-'))
  // It holds keys and secrets, and goes away however this ends.
  reaper = createReaper(folder)
  const rows = await exerciseAll(folder)
  console.log(matrixOf(rows))
  process.exitCode = rows.every(({ ok }) => ok) ? 0 : 1
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  await reaper?.finish()
}
