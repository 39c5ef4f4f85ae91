import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '../test/support/redis.ts'
import { prepareAccounts } from './accounts.ts'
import { assignCores, cpuMicrosecondsOf } from './cores.ts'
import { Load } from './load.ts'
import { startServer } from './server.ts'
import type { Report, Table } from './tables.ts'

export interface ProfileSettings {
  readonly seconds: number
  readonly atOnce: number
}

export interface Profile {
  readonly store: 'Redis' | 'LMDB'
  /** Processor time of the server's whole process per refresh, while it is being profiled. */
  readonly cpuMicroseconds: number
  /** Microseconds of it, the most first. */
  readonly groups: readonly (readonly [group: string, microseconds: number])[]
}

/** Samples a server under load, and sums up whose code it was in. */
export async function measureProfiles(
  settings: ProfileSettings,
  progress: (line: string) => void,
): Promise<Profile[]> {
  const profiles: Profile[] = []
  for (const store of ['Redis', 'LMDB'] as const) {
    progress(`profile on ${store}`)
    profiles.push(await measureProfile(store, settings))
  }
  return profiles
}

async function measureProfile(
  kind: Profile['store'],
  { seconds, atOnce }: ProfileSettings,
): Promise<Profile> {
  const cores = assignCores()
  const folder = await mkdtemp(join(tmpdir(), 'pawl-bench-'))
  const undo: (() => unknown)[] = [() => rm(folder, { recursive: true })]
  try {
    const redis = kind === 'Redis' ? await startRedis({ aof: 'everysec' }) : undefined
    undo.push(() => redis?.stop())
    const url = redis?.url ?? `lmdb:${join(folder, 'data')}`
    const usernames = await prepareAccounts(url, atOnce)

    const sampling = ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=200']
    const server = await startServer(cores, url, join(folder, 'keys'), {}, sampling)
    let hasStopped = false
    undo.push(() => hasStopped || server.stop())
    const load = await Load.start(server.url, usernames)
    undo.push(() => load.stop())
    await load.run(atOnce, 2)
    const [cpu, from] = [cpuMicrosecondsOf(server.pid), now()]
    const { answers } = await load.run(atOnce, seconds)
    const [cpuAfter, to] = [cpuMicrosecondsOf(server.pid), now()]
    // The profile is written at the end of the process.
    await server.stop()
    hasStopped = true
    const samples = await samplesOf(folder, from, to)
    const cpuMicroseconds =
      cpu === undefined || cpuAfter === undefined ? Number.NaN : (cpuAfter - cpu) / answers
    return { store: kind, cpuMicroseconds, groups: sharesOf(samples, cpuMicroseconds) }
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

/** Microseconds by the clock that the profile goes by, too. */
const now = () => Number(process.hrtime.bigint() / 1000n)

interface Node {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string }
  readonly children?: readonly number[]
}

interface CpuProfile {
  readonly nodes: readonly Node[]
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Samples within the time, by whose code it was. A thread's profile is smaller than the main one's. */
async function samplesOf(folder: string, from: number, to: number): Promise<Map<string, number>> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.cpuprofile'))
  const profiles = await Promise.all(
    files.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as CpuProfile),
  )
  const [main] = profiles.sort((a, b) => b.nodes.length - a.nodes.length)
  if (!main) throw new Error('the server wrote no profile')
  const nodes = new Map(main.nodes.map((node) => [node.id, node]))
  const parents = new Map(
    main.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  )
  const stackOf = (id: number) => {
    const frames: Node['callFrame'][] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at))
      frames.push(nodes.get(at)!.callFrame)
    return frames
  }
  const groups = new Map(main.nodes.map(({ id }) => [id, groupOf(stackOf(id))]))
  const counts = new Map<string, number>()
  let time = main.startTime
  for (const [i, sample] of main.samples.entries()) {
    time += main.timeDeltas[i]!
    const group = groups.get(sample)!
    if (time < from || time > to || group === IDLE) continue
    counts.set(group, (counts.get(group) ?? 0) + 1)
  }
  return counts
}

const IDLE = '(idle)'

/** Whose a sample is: that of the innermost code that somebody chose to call. */
const GROUPS: readonly (readonly [RegExp, string])[] = [
  [/node:internal\/crypto\/sig/, 'the RS256 signature'],
  [/node:internal\/crypto\//, 'MACs and hashes'],
  [/ioredis|redis-|gather-writes/, 'the Redis client, writing to its socket included'],
  [/node_modules\/(?:lmdb|msgpackr|weak-lru)/, 'LMDB'],
  [/pino|sonic-boom|quick-format/, 'the log line'],
  [/prom-client|dist\/src\/metrics/, 'metrics'],
  [/fastify|find-my-way|avvio|fast-json|secure-json|light-my|reusify/, 'Fastify'],
  [/dist\/src\/stores/, 'Pawl: stores'],
  [/dist\/src\/tokens/, 'Pawl: tokens'],
  [/dist\/src\/http/, 'Pawl: http'],
  [/dist\/src\//, 'Pawl: endpoint, grant, client authentication'],
]

function groupOf(stack: readonly Node['callFrame'][]): string {
  const [{ functionName = '' } = {}] = stack
  if (functionName === IDLE) return IDLE
  if (functionName === '(garbage collector)') return 'garbage collection'
  // What Node does for a library, such as writing to a socket, is the library's; what it does by itself is its own.
  for (const { url } of stack) {
    const found = GROUPS.find(([pattern]) => pattern.test(url))
    if (found) return found[1]
  }
  return functionName === '(program)' ? 'native code under no function' : 'Node: HTTP, sockets, promises'
}

function sharesOf(samples: ReadonlyMap<string, number>, cpuMicroseconds: number): Profile['groups'] {
  const total = [...samples.values()].reduce((sum, count) => sum + count, 0)
  return [...samples]
    .map(([group, count]) => [group, (count / total) * cpuMicroseconds] as const)
    .sort(([, a], [, b]) => b - a)
}

export function profileReportOf(profiles: readonly Profile[], { atOnce, seconds }: ProfileSettings): Report {
  return {
    name: 'profile',
    title: `Where a refresh spends its processor time, ${atOnce} at once`,
    notes: [
      `sampled every 0.2 ms for ${seconds} s, which itself costs some per cent; Node ${process.version}`,
    ],
    tables: profiles.map(
      ({ store, cpuMicroseconds, groups }): Table => ({
        title: `On ${store}: ${cpuMicroseconds.toFixed(0)} µs`,
        notes: [],
        header: ['whose code', 'µs', '%'],
        rows: groups.map(([group, microseconds]) => [
          group,
          microseconds.toFixed(1),
          ((100 * microseconds) / cpuMicroseconds).toFixed(1),
        ]),
      }),
    ),
    charts: [],
  }
}
