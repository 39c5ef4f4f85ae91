import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { readConfig, VARIABLES } from '../../src/config/config.ts'
import { loadKeys } from '../../src/keys/key-files.ts'
import { KEY_USES } from '../../src/keys/rings.ts'
import { deploy } from '../support/deployment.ts'
import { ask, signIn } from '../support/http-client.ts'
import { scrape } from '../support/prometheus.ts'
import { runHere } from '../support/run-here.ts'

const KUBERNETES = 'examples/kubernetes/pawl.yaml'
const UNIT = 'examples/systemd/pawl.service'

const OURS = new Set(
  Object.values(VARIABLES)
    .map(({ name }) => name)
    .flatMap((name) => [name, `${name}_FILE`]),
)

/** The metrics that a PromQL expression names. */
const metricsIn = (text: string) =>
  [...text.matchAll(/\b(?:pawl|nodejs|process)_[a-z0-9_]+\b/g)].map(([name]) =>
    name.replace(/_(?:bucket|sum|count)$/, ''),
  )

t.test('the dashboard and the alerts name metrics that exist', async (t) => {
  const deployment = await deploy(t, 'lmdb', { env: { WORKERS: '2' } })
  const { url, managementUrl } = await deployment.startServer()
  await signIn(url, await deployment.addAccount('ada'))
  const { names } = await scrape(managementUrl)

  const dashboard = JSON.parse(readFileSync('examples/grafana/pawl.json', 'utf8')) as {
    panels: { title: string; targets?: { expr: string }[] }[]
  }
  const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  t.ok(expressions.length > 20, `${expressions.length} expressions`)
  const alerts = parse(readFileSync('examples/prometheus/pawl-alerts.yml', 'utf8')) as {
    groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[]
  }
  const rules = alerts.groups.flatMap((group) => group.rules)
  t.ok(rules.length >= 8, `${rules.length} alerts`)
  for (const expr of [...expressions, ...rules.map((rule) => rule.expr)]) {
    const used = metricsIn(expr)
    t.ok(used.length > 0, expr)
    for (const name of used) t.ok(names.has(name), `${name} is there`)
    t.equal(expr.split('(').length, expr.split(')').length, 'its parentheses close')
  }
  const shown = new Set(metricsIn(expressions.join(' ')))
  const missing = [...names].filter((name) => name.startsWith('pawl_') && !shown.has(name))
  t.strictSame(missing, [], 'and every one of ours is shown')
})

t.test('Kubernetes', async (t) => {
  const documents = parseAllDocuments(readFileSync(KUBERNETES, 'utf8'), { merge: true })
  t.strictSame(
    documents.flatMap(({ errors }) => errors),
    [],
  )
  const resources = documents.map((document) => document.toJS())
  t.strictSame(
    resources.map(({ kind }) => kind),
    ['Namespace', 'Deployment', 'Service', 'PodDisruptionBudget', 'NetworkPolicy'],
  )
  const { template, selector, replicas } = resources[1].spec
  const { initContainers, containers, volumes, securityContext } = template.spec
  t.equal(replicas, 2)
  t.strictSame(template.metadata.labels, selector.matchLabels)
  t.match(securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
  const mounted = new Set(volumes.map(({ name }: { name: string }) => name))
  for (const container of [...initContainers, ...containers]) {
    t.strictSame(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    for (const { name } of container.volumeMounts) t.ok(mounted.has(name), `the volume ${name}`)
  }

  const env = Object.fromEntries(
    containers[0].env.map(({ name, value }: { name: string; value: string }) => [name, value]),
  )
  for (const name of Object.keys(env)) t.ok(OURS.has(name), name)
  const { STORE_URL_FILE: _, ...others } = env
  t.ok(readConfig({ ...others, STORE_URL: 'redis://redis.pawl:6379' }))

  t.test('the probes ask what there is', async (t) => {
    const { managementUrl } = await (await deploy(t, 'lmdb')).startServer()
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const { path, port } = containers[0][probe].httpGet
      t.equal(port, 'management')
      t.equal((await ask(managementUrl + path)).status, 200, path)
    }
  })

  t.test('the keys of a secret become keys that the server takes', async (t) => {
    const cwd = t.testdir()
    const made = { KEYS_DIR: join(cwd, 'keys') }
    await runHere(['keys', 'generate'], made)
    await runHere(['keys', 'generate', '--use', 'refresh'], made)
    // As the kubelet mounts a secret: files in a dated folder, links to them, all open to the group.
    const mount = join(cwd, 'secret')
    mkdirSync(join(mount, '..2026'), { recursive: true })
    for (const use of KEY_USES) {
      const files = readdirSync(join(made.KEYS_DIR, use), { withFileTypes: true })
      for (const { name } of files.filter((file) => file.isFile())) {
        const content = readFileSync(join(made.KEYS_DIR, use, name))
        writeFileSync(join(mount, '..2026', `${use}.${name}`), content, { mode: 0o440 })
        symlinkSync(join('..2026', `${use}.${name}`), join(mount, `${use}.${name}`))
      }
    }
    const [{ command, args }] = initContainers
    const copied = join(cwd, 'run', 'keys')
    for (let restart = 0; restart < 2; restart += 1) {
      execFileSync(command[0], [...command.slice(1), ...args], {
        env: { PATH: process.env.PATH, FROM: mount, KEYS_DIR: copied },
      })
      const [before, after] = [await loadKeys(made.KEYS_DIR), await loadKeys(copied)]
      t.equal(after.signing.active.kid, before.signing.active.kid)
      t.strictSame(after.refresh, before.refresh)
    }
  })
})

t.test('Compose', async (t) => {
  const { services, networks } = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true })
  const { environment } = services['pawl-1']
  t.strictSame(services['pawl-1'], services['pawl-2'])
  for (const name of Object.keys(environment)) t.ok(OURS.has(name), name)
  const config = readConfig(environment)
  t.strictSame(config.trustProxy, [services.proxy.networks.pawl.ipv4_address])
  const [{ subnet }] = networks.pawl.ipam.config
  t.equal(config.trustProxy[0]?.replace(/\.\d+$/, '.0/24'), subnet, 'the proxy’s address is in the network')
  t.strictSame(services.proxy.ports, ['127.0.0.1:9000:9000'], 'only the proxy is published')
  t.notOk('ports' in services['pawl-1'] || 'ports' in services.redis)
})

t.test('systemd', async (t) => {
  const unit = readFileSync(UNIT, 'utf8')
  const variables = [...unit.matchAll(/^Environment=([A-Z_]+)=/gm)].map(([, name]) => name ?? '')
  t.strictSame(
    variables.filter((name) => name !== 'NODE_ENV' && !OURS.has(name)),
    [],
  )
  for (const setting of ['DynamicUser=yes', 'ProtectSystem=strict', 'NoNewPrivileges=yes', 'KillMode=mixed'])
    t.ok(unit.includes(`\n${setting}\n`), setting)
  // Its directives are checked where there is somebody to check them.
  const { error, status, stderr } = spawnSync('systemd-analyze', ['verify', UNIT], { encoding: 'utf8' })
  const said = (stderr ?? '').split('\n').filter((line) => line.includes('pawl.service:'))
  t.strictSame(
    said.filter((line) => !line.includes('is not executable')),
    [],
    `systemd-analyze: ${error?.message ?? status}`,
  )
})
