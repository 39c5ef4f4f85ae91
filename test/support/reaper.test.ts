import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { createReaper } from './reaper.ts'
import { until } from './until.ts'

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('finish ends the process and removes the folder', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'pawl-reaper-'))
  const reaper = createReaper(dir)
  const child = spawn('sleep', ['60'])
  reaper.watch(child.pid)
  await Promise.all([once(child, 'exit'), reaper.finish()])
  t.equal(child.signalCode, 'SIGKILL')
  t.notOk(existsSync(dir))
  await reaper.finish()
})

test('a process that is watched no more is left alone', async (t) => {
  const reaper = createReaper()
  const child = spawn('sleep', ['60'])
  t.teardown(() => child.kill())
  reaper.watch(child.pid)
  reaper.watch(undefined)
  await reaper.finish()
  t.ok(lives(Number(child.pid)))
})

test('a test process that is killed leaves no server and no folder behind', async (t) => {
  const program = `
    import { startRedis } from ${JSON.stringify(new URL('redis.js', import.meta.url).href)}
    const { pid, dir } = await startRedis()
    console.log(JSON.stringify({ pid, dir }))
    setInterval(() => {}, 1000)`
  const doomed = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(doomed.stdout, 'data')) as [Buffer]
  const { pid, dir } = JSON.parse(line.toString()) as { pid: number; dir: string }
  t.ok(lives(pid))
  t.ok(existsSync(dir))
  doomed.kill('SIGKILL')
  await until('the server and its folder are gone', () => !lives(pid) && !existsSync(dir))
})
