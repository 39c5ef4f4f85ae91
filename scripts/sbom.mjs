// Prints the bill of materials of what production runs, as CycloneDX JSON: from the lockfile alone, so offline and the
// same on every machine. npm run -s sbom > sbom.json
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)
const { name, version, packages } = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8'))

// With --omit=dev npm leaves out what development needs as well, hence half of production: so this asks for everything.
const { status, stdout, stderr } = spawnSync(
  'npm',
  ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only'],
  { cwd: fileURLToPath(root), encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
)
if (status !== 0) {
  console.error(`npm sbom ended with ${status}:\n${stderr}`)
  process.exit(1)
}
const bom = JSON.parse(stdout)

const production = new Set(
  Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && !dev)
    .map(([path, { version }]) => `${path.slice(path.lastIndexOf('node_modules/') + 13)}@${version}`),
)
const refs = new Set([bom.metadata.component['bom-ref']])
bom.components = bom.components.filter((component) => {
  const { name, version } = component
  const isOurs = production.delete(`${name}@${version}`)
  if (isOurs) refs.add(component['bom-ref'])
  return isOurs
})
if (production.size > 0) throw new Error(`npm sbom does not list ${[...production].join(', ')}`)
bom.dependencies = bom.dependencies
  .filter(({ ref }) => refs.has(ref))
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => refs.has(one)) }))

// npm names the project after its folder, and says where each package was fetched from: that is this machine's business.
Object.assign(bom.metadata.component, { name, version })
for (const component of [bom.metadata.component, ...bom.components]) {
  const { externalReferences = [] } = component
  component.externalReferences = externalReferences.filter(({ type }) => type !== 'distribution')
}
console.log(JSON.stringify(bom, null, 2))
