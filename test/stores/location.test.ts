import { test } from 'tap'
import { parseStoreUrl, redactStoreUrl } from '../../src/stores/location.ts'

const plain = { tls: false }

test('LMDB', async (t) => {
  t.strictSame(parseStoreUrl('lmdb:./data'), { kind: 'lmdb', folder: './data' })
  t.strictSame(parseStoreUrl('lmdb:/var/lib/my pawl?'), { kind: 'lmdb', folder: '/var/lib/my pawl?' })
  t.throws(() => parseStoreUrl('lmdb:'), { name: 'TypeError', message: 'names no folder after lmdb:' })
})

test('one Redis', async (t) => {
  const one = { kind: 'redis', host: 'store', port: 6379, db: 0 }
  t.strictSame(parseStoreUrl('redis://store'), { ...one, ...plain })
  t.strictSame(parseStoreUrl('redis://store/'), { ...one, ...plain })
  t.strictSame(parseStoreUrl('redis://store:6380/12'), { ...one, port: 6380, db: 12, ...plain })
  t.strictSame(parseStoreUrl('rediss://store'), { ...one, tls: true })
  t.strictSame(parseStoreUrl('redis://[fd00::1]:6380'), { ...one, host: 'fd00::1', port: 6380, ...plain })
  t.strictSame(parseStoreUrl('redis://[::1]'), { ...one, host: '::1', ...plain })
})

test('credentials are percent-decoded', async (t) => {
  const { username, password } = parseStoreUrl('redis://pawl:p%40ss%2Fw%3Ard%25@store') as Record<
    string,
    unknown
  >
  t.strictSame({ username, password }, { username: 'pawl', password: 'p@ss/w:rd%' })
  t.match(parseStoreUrl('redis://:secret@store'), { password: 'secret' })
  t.notOk('username' in parseStoreUrl('redis://:secret@store'), 'the default user has no name')
  t.match(parseStoreUrl('redis://:a:b@store'), { password: 'a:b' })
  const nameAlone = parseStoreUrl('redis://pawl@store')
  t.match(nameAlone, { username: 'pawl' })
  t.notOk('password' in nameAlone)
})

test('Sentinel', async (t) => {
  t.strictSame(parseStoreUrl('redis-sentinel://a,b:26380,[::1]:1/primary'), {
    kind: 'redis-sentinel',
    sentinels: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 26380 },
      { host: '::1', port: 1 },
    ],
    name: 'primary',
    db: 0,
    ...plain,
  })
  t.match(parseStoreUrl('redis-sentinel://:secret@a/my%20primary?db=2&sentinel_password=x%26y&tls=true'), {
    name: 'my primary',
    db: 2,
    password: 'secret',
    sentinelPassword: 'x&y',
    tls: true,
  })
})

test('Cluster', async (t) => {
  t.strictSame(parseStoreUrl('redis-cluster://a:7000,b'), {
    kind: 'redis-cluster',
    nodes: [
      { host: 'a', port: 7000 },
      { host: 'b', port: 6379 },
    ],
    ...plain,
  })
  t.match(parseStoreUrl('redis-cluster://pawl:secret@a?tls=true'), {
    username: 'pawl',
    password: 'secret',
    tls: true,
  })
})

test('what is none of these is refused with a message that goes on after the name of the variable', async (t) => {
  const bad: [string, RegExp][] = [
    ['', /^is none of/],
    ['./data', /^is none of/],
    ['LMDB:./data', /^is none of/],
    ['redis:store', /^is none of/],
    ['redis://', /^is none of/],
    ['redis:///1', /^is none of/],
    ['redis://a@b@c', /^is none of/],
    ['redis://store/1/2', /^is none of/],
    ['redis+sentinel://a/p', /^is none of/],
    ['unix:///run/redis.sock', /^is none of/],
    ['redis://a,b', /^names several hosts: use redis-sentinel/],
    ['redis://store/x', /^has a database that is not a number/],
    ['redis://store/12345', /^has a database that is not a number/],
    ['redis://store:0', /^has a host that is not/],
    ['redis://store:65536', /^has a host that is not/],
    ['redis://store:', /^has a host that is not/],
    ['redis://::1', /^has a host that is not/],
    ['redis-cluster://a,,b', /^has a host that is not/],
    ['redis-cluster://a b', /^has a host that is not/],
    ['redis-sentinel://a', /^names no primary/],
    ['redis-sentinel://a/', /^names no primary/],
    ['redis-sentinel://a/p?db=x', /^has a database that is not a number/],
    ['redis-cluster://a/1', /^names a database, and Redis Cluster has only one/],
    ['redis://:%zz@store', /^has a bad percent escape/],
    ['redis-sentinel://a/%zz', /^has a bad percent escape/],
  ]
  for (const [url, message] of bad) t.throws(() => parseStoreUrl(url), { name: 'TypeError', message }, url)
})

// A misspelt tls=true that is passed over would send passwords in the clear.
test('an option that is unknown, or has no such value, is refused', async (t) => {
  const misspelt = [
    'redis-cluster://a?tls=yes',
    'redis-cluster://a?tls=1',
    'redis-cluster://a?TLS=true',
    'redis-sentinel://a/p?ssl=true',
    'redis-sentinel://a/p?tls',
    'redis-cluster://a?db=1',
    'redis://a?db=1',
    'rediss://a?tls=false',
  ]
  for (const url of misspelt) t.throws(() => parseStoreUrl(url), TypeError, url)
  t.match(parseStoreUrl('redis-cluster://a?tls=false'), plain)
})

test('as it may be shown', async (t) => {
  const shown = {
    'lmdb:./data': 'lmdb:./data',
    'redis://store:6379/1': 'redis://store:6379/1',
    'redis://:hunter2@store': 'redis://***@store',
    'rediss://pawl:hunter2@store/1': 'rediss://***@store/1',
    'redis-cluster://pawl:hunter2@a:1,b:2?tls=true': 'redis-cluster://***@a:1,b:2?***',
    'redis-sentinel://a/p?sentinel_password=hunter2': 'redis-sentinel://a/p?***',
  }
  for (const [url, expected] of Object.entries(shown)) t.equal(redactStoreUrl(url), expected)
})
