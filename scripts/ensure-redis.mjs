// The tests run against real Redis servers of their own and never skip them: this finds the server's program, else
// installs it where that needs no question (Debian and its kin, as root or with a sudo that asks no password), else
// stops and says how to.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { findRedis } from '../dist/test/support/find-redis.js'

const HOW_TO_INSTALL = `The tests need a Redis server (or Valkey) and found no redis-server on PATH. Install it with
  Debian, Ubuntu:  sudo apt-get install redis-server
  Fedora:          sudo dnf install valkey
  Alpine:          sudo apk add redis
  macOS:           brew install redis
or point REDIS_SERVER at the program.`

function runs(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

/** The words to put before a command to run it as root without a question; undefined when there is no such way. */
function asRoot() {
  if (process.getuid?.() === 0) return []
  return runs('sudo', ['-n', 'true']) ? ['sudo', '-n'] : undefined
}

function installWithApt() {
  const prefix = asRoot()
  if (!prefix || !runs('apt-get', ['--version'])) return
  console.error('No redis-server on PATH: installing the redis-server package for the tests.')
  const script = fileURLToPath(new URL('install-redis.sh', import.meta.url))
  const [command, ...args] = [...prefix, 'sh', script]
  // Its progress goes to stderr, so that stdout holds the test report alone.
  spawnSync(command, args, { stdio: ['ignore', process.stderr, process.stderr] })
}

try {
  if (!findRedis()) installWithApt()
  if (!findRedis()) throw new Error(HOW_TO_INSTALL)
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
