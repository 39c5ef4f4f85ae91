// Writes docs/openapi.json: the document that a server with the default configuration serves.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../dist/src/main.js', import.meta.url))
const target = fileURLToPath(new URL('../docs/openapi.json', import.meta.url))

const server = spawn(process.execPath, [main, 'dev', '--json', '--port', '0', '--temporary'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
try {
  const [line] = await once(createInterface({ input: server.stdout }), 'line')
  const { management } = JSON.parse(line)
  const document = await (await fetch(`${management}/openapi.json`)).json()
  document.servers = [{ url: 'http://localhost:9000' }]
  writeFileSync(target, `${JSON.stringify(document, null, 2)}\n`)
  // So that the formatter has nothing to say about it.
  const biome = fileURLToPath(new URL('../node_modules/.bin/biome', import.meta.url))
  spawnSync(biome, ['format', '--write', target], { stdio: 'inherit' })
  console.log(`Wrote ${target}`)
} finally {
  server.kill()
  await once(server, 'close')
}
