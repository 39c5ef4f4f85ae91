// The Debian packages of the libraries: what is missing is installed where that needs no question (as root, or with a
// sudo that asks no password); elsewhere the run stops and says how to.
import { spawnSync } from 'node:child_process'

export const PACKAGES = [
  'python3-requests-oauthlib',
  'python3-authlib',
  'python3-jwt',
  'golang-go',
  'golang-golang-x-oauth2-dev',
  'ruby-oauth2',
  // It brings Apache's program, apache2-bin, and not the package apache2 with its service.
  'libapache2-mod-auth-openidc',
]

// Recommended packages would add a second C compiler, and with it nothing that is used here.
const INSTALL = ['apt-get', 'install', '-y', '-q', '--no-install-recommends']

const howToInstall = (
  packages,
) => `The libraries come from Debian's packages, and some are missing. Install them with
  sudo apt-get update && sudo ${INSTALL.join(' ')} ${packages.join(' ')}`

/** The version of an installed package; undefined when it is not installed. */
export function versionOf(name) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills these in
  const query = ['-W', '-f', '${db:Status-Status} ${Version}', name]
  const { stdout } = spawnSync('dpkg-query', query, { encoding: 'utf8' })
  const [status, version] = (stdout ?? '').split(' ')
  return status === 'installed' ? version : undefined
}

const missing = () => PACKAGES.filter((name) => versionOf(name) === undefined)

/** The words to put before a command to run it as root without a question; undefined when there is no such way. */
function asRoot() {
  if (process.getuid?.() === 0) return []
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : undefined
}

function install(packages, prefix) {
  console.error(`Installing ${packages.join(' ')}`)
  const wait = ['-o', 'DPkg::Lock::Timeout=120']
  for (const words of [
    ['apt-get', 'update', '-qq'],
    [...INSTALL, ...wait, ...packages],
  ]) {
    const [command, ...args] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', ...words]
    // Its progress goes to stderr, so that stdout holds the matrix alone.
    const { status } = spawnSync(command, args, { stdio: ['ignore', process.stderr, process.stderr] })
    if (status !== 0) return
  }
}

/** @throws Error with the line to type when the packages are not there and cannot be installed */
export function ensurePackages() {
  const prefix = missing().length > 0 ? asRoot() : undefined
  if (prefix) install(missing(), prefix)
  const left = missing()
  if (left.length > 0) throw new Error(howToInstall(left))
}
