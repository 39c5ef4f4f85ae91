// What tsc leaves undone after it has compiled src, test and bench into dist.
import { chmodSync, cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { extname, join } from 'node:path'

// The output of a source that is gone would live on; a deleted test would still run. Removing these alone, and not all
// of dist before each build, leaves the programs in peace that run from it now.
for (const path of readdirSync('dist', { recursive: true })) {
  const source = path.replace(/\.js(\.map)?$/, '.ts')
  if (extname(path) !== '' && !existsSync(source)) rmSync(join('dist', path))
}

// The Redis store reads its .lua files from beside its own compiled module.
cpSync('src', 'dist/src', { recursive: true, filter: (source) => extname(source) !== '.ts' })

// npm makes the command executable when it installs the package, but not when it is run from its own repository.
if (existsSync('dist/src/main.js')) chmodSync('dist/src/main.js', 0o755)
