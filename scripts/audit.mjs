// Asks the registry for known vulnerabilities of what production runs. Exit code 1 where one is high or critical. Where
// the registry cannot be asked it says so and exits with 0, or with 1 where --strict is given: a machine without a
// network is no reason to stop a change, and a release should know.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const STOPPING = ['high', 'critical']
const ASK_MS = 60_000

const isStrict = process.argv.includes('--strict')
const { stdout, stderr, error } = spawnSync(
  'npm',
  ['audit', '--omit=dev', '--json', '--fetch-retries=0', `--fetch-timeout=${ASK_MS / 2}`],
  {
    cwd: fileURLToPath(new URL('../', import.meta.url)),
    encoding: 'utf8',
    timeout: ASK_MS,
    maxBuffer: 64 * 1024 * 1024,
  },
)

const report = read(stdout)
if (report?.auditReportVersion !== 2) {
  const reason = report?.message ?? error?.message ?? stderr
  console.error(`NOT AUDITED: the registry could not be asked for advisories: ${reason}`)
  process.exit(isStrict ? 1 : 0)
}

const found = Object.values(report.vulnerabilities)
const stopping = found.filter(({ severity }) => STOPPING.includes(severity))
for (const { name, severity, range, via } of found) {
  const titles = via.filter((cause) => typeof cause === 'object').map(({ title, url }) => `${title} ${url}`)
  console.error(`${severity}: ${name} ${range}${titles.length > 0 ? `: ${titles.join('; ')}` : ''}`)
}
console.log(
  `Audited ${report.metadata.dependencies.prod} packages: ${found.length} with advisories, ${stopping.length} high or critical.`,
)
process.exitCode = stopping.length > 0 ? 1 : 0

/** What npm says: a report, or what went wrong. */
function read(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
