import { closeSync, openSync, rmSync, symlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { count } from '../support/count.ts'
import { deploy } from '../support/deployment.ts'
import { ask, refresh } from '../support/http-client.ts'
import { beginSessions } from '../support/sessions.ts'
import { smallDisk } from '../support/small-disk.ts'
import { until } from '../support/until.ts'
import { startRecorder } from './history.ts'
import { BUSY_PROMISES, holdHistory } from './hold-history.ts'
import { LOAD_ENV, startLoad } from './load.ts'

const DISK_MIB = 64
const ROUNDS = 2
/** How long the disk is full. */
const FULL_MS = 2000
const SLEEPERS = 50
const MIB = Buffer.alloc(1024 * 1024, 1)
/** A fast disk's pace, not that of memory: the server leaves 16 MiB, and looks for them up to 10 ms before a transaction. */
const PACE_MS = 5

/** Writes until the system takes no more. */
async function fill(path: string): Promise<void> {
  const file = openSync(path, 'w')
  try {
    for (let chunk = MIB; chunk.length > 0; ) {
      try {
        writeSync(file, chunk)
        await sleep(PACE_MS)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        chunk = chunk.subarray(0, chunk.length >> 1)
      }
    }
  } finally {
    closeSync(file)
  }
}

t.test('a disk that runs full under a server, and has room again', async (t) => {
  const disk = await smallDisk(t, DISK_MIB)
  if (disk === undefined) {
    const more = 'the system lets this user make no file system'
    count(t, { what: 'full disks', number: 0, on: 'lmdb', more })
    t.pass('a disk that can be filled', { skip: more })
    return
  }
  const deployment = await deploy(t, 'lmdb', { env: LOAD_ENV })
  symlinkSync(disk, deployment.dataDir)
  const ada = await deployment.addAccount('ada')
  const { client_id } = ada
  const server = await deployment.startServer()
  const sleepers = await beginSessions(deployment, ada, SLEEPERS)
  await deployment.closeStore()
  const recorder = startRecorder()
  const load = startLoad(recorder, () => [server.url], ada)
  t.teardown(() => load.stop())
  await load.eachTurned('the beginning')

  const filler = join(disk, 'filler')
  for (let round = 1; round <= ROUNDS; round += 1) {
    await recorder.fault(`full disk ${round}`, async () => {
      await fill(filler)
      const answers = await Promise.all([
        ask(`${server.managementUrl}/health/live`),
        ask(`${server.url}/.well-known/jwks.json`),
      ])
      for (const { status } of answers) t.equal(status, 200, 'it lives')
      await until('it is not ready', async () => {
        return (await ask(`${server.managementUrl}/health/ready`)).status === 503
      })
      await sleep(FULL_MS)
      rmSync(filler)
    })
    await load.eachTurned(`round ${round}`)
  }
  await load.stop()

  for (const { refresh_token } of sleepers) {
    const next = await refresh(server.url, refresh_token, { client_id })
    await refresh(server.url, next.refresh_token, { client_id })
  }
  t.pass('those who asked for nothing meanwhile have their sessions')
  const { entries } = recorder.history([])
  t.ok(
    entries.some(({ status }) => status === 503),
    'meanwhile it said that it could not',
  )
  holdHistory(t, recorder, [server], BUSY_PROMISES, { what: 'full disks', number: ROUNDS, on: 'lmdb' })
  t.equal(server.stderr, '')
  t.equal(await server.stop(), 0, 'the same process, all the time')
})
