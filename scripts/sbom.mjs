// Prints the bill of materials of what production runs, as CycloneDX JSON: from the lockfile alone, so offline and the
// same on every machine. npm run -s sbom > sbom.json
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)
const { name, version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))

const { status, stdout, stderr } = spawnSync(
  'npm',
  ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--omit=dev', '--package-lock-only'],
  { cwd: fileURLToPath(root), encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
)
if (status !== 0) {
  console.error(`npm sbom ended with ${status}:\n${stderr}`)
  process.exit(1)
}
const bom = JSON.parse(stdout)

// npm names the project after its folder, and says where each package was fetched from: that is this machine's business.
Object.assign(bom.metadata.component, { name, version })
for (const component of [bom.metadata.component, ...bom.components]) {
  const { externalReferences = [] } = component
  component.externalReferences = externalReferences.filter(({ type }) => type !== 'distribution')
}
console.log(JSON.stringify(bom, null, 2))
