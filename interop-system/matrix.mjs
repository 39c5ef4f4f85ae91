// The matrix, as Markdown.
import { versionOf } from './packages.mjs'

/** What the lines say that held: features, then methods of client authentication, in the order they first came. */
function exercised(lines) {
  const features = new Set()
  const methods = new Set()
  for (const line of lines) {
    const [, feature, method] = /^ok (.+?)(?: by ([^:]+))?(?::.*)?$/.exec(line) ?? []
    if (feature !== undefined) features.add(feature)
    if (method !== undefined) methods.add(method)
  }
  return [...features, ...methods].join(', ')
}

/** @param rows of a library, the lines it printed and what failed */
export function matrixOf(rows) {
  const cells = rows.map(({ library: { name, packages, settings }, lines, ok }) => [
    name,
    packages.map((name) => `${name} ${versionOf(name)}`).join(', '),
    exercised(lines),
    settings,
    ok ? 'ok' : 'FAILED',
  ])
  const header = ['library', 'Debian package', 'exercised', 'settings', 'result']
  return [header, header.map(() => '---'), ...cells].map((line) => `| ${line.join(' | ')} |`).join('\n')
}
