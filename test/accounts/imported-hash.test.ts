import { type Test, test } from 'tap'
import { type FirebaseParameters, readImportedHash } from '../../src/accounts/imported-hash.ts'
import { IN_COMMAND, startPasswordHashing } from '../../src/accounts/password-hashing.ts'
import { needsRehash, readStoredHash } from '../../src/accounts/stored-hash.ts'

/*
 * Hashes that other implementations made: Python's hashlib by the formats' own documentation, crypt(3), the reference
 * implementation of Argon2, the documentation of Firebase, passlib and Django.
 */
const PASSWORD = 'correct horse, bättery ☂'
const FIREBASE: FirebaseParameters = {
  signerKey: Buffer.from(
    'jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==',
    'base64',
  ),
  saltSeparator: Buffer.from('Bw==', 'base64'),
  rounds: 8,
  memCost: 14,
}
const FIREBASE_USER = {
  salt: '42xEC+ixf3L2lw==',
  passwordHash: 'lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==',
}

const keycloak = (secretData: object, credentialData: object) => ({
  id: '9f2c5a3e-31c0-4d9f-9a43-3c2f2f1c1b11',
  type: 'password',
  userLabel: 'My password',
  createdDate: 1668000000000,
  secretData: JSON.stringify({ ...secretData, additionalParameters: {} }),
  credentialData: JSON.stringify({ additionalParameters: {}, ...credentialData }),
})
const KEYCLOAK_SALT = 'yMnKy8zNzs/Q0dLT1NXW1w=='
const KEYCLOAK = keycloak(
  {
    value: 'kTQbIMVfBWJCZJkzs9KFZ3pjwNKW7W64TiwTeGB1tzuhLUhEosJ34KNmjLnVFEcZxU3HX89WSglwSB5xSuszhg==',
    salt: KEYCLOAK_SALT,
  },
  { hashIterations: 27500, algorithm: 'pbkdf2-sha256' },
)

const VECTORS: Record<string, [hash: unknown, password?: string]> = {
  argon2i: [
    '$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA',
    'password',
  ],
  argon2id: [
    '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
    'password',
  ],
  'argon2 before version 19': [
    '$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ',
    'password',
  ],
  'Django’s argon2': [
    'argon2$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
    'password',
  ],
  'bcrypt $2a$': ['$2a$10$N9qo8uLOickgx2ZMRZoMye/PTRZo5XhgwSza6Of2I4B.4ym4ZZEly'],
  'bcrypt $2b$': ['$2b$10$N9qo8uLOickgx2ZMRZoMye/PTRZo5XhgwSza6Of2I4B.4ym4ZZEly'],
  'bcrypt $2y$': ['$2y$10$N9qo8uLOickgx2ZMRZoMye/PTRZo5XhgwSza6Of2I4B.4ym4ZZEly'],
  'Django’s bcrypt': ['bcrypt$$2b$10$N9qo8uLOickgx2ZMRZoMye/PTRZo5XhgwSza6Of2I4B.4ym4ZZEly'],
  'Spring Security’s bcrypt': ['{bcrypt}$2a$10$N9qo8uLOickgx2ZMRZoMye/PTRZo5XhgwSza6Of2I4B.4ym4ZZEly'],
  scrypt: ['$scrypt$ln=17,r=8,p=1$yMnKy8zNzs/Q0dLT1NXW1w$Ni6wrVROHgfR+mBbLgswUa73z7qruHbrRub4+NxKpFc'],
  'passlib’s scrypt': [
    '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E',
    'password',
  ],
  'Django’s scrypt': [
    'scrypt$16384$seasalt$8$5$vqAmQQtZro1t10JSS6qv6oFj/lHkXQ1bKMSvCMWmpBDu6ks4w1oRPZnYJ0udTadbFT8f62LR+/iPpJrwXlfhPg==',
  ],
  Firebase: [FIREBASE_USER, 'user1password'],
  'Firebase, its parameters inside': [
    `$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=${FIREBASE.signerKey.toString('base64')}$${FIREBASE_USER.salt}$${FIREBASE_USER.passwordHash}`,
    'user1password',
  ],
  'passlib’s PBKDF2-SHA1': ['$pbkdf2$131000$yMnKy8zNzs/Q0dLT1NXW1w$2fYlQ75ffT8yhZ/DEZTb0d242Qc'],
  'passlib’s PBKDF2-SHA256': [
    '$pbkdf2-sha256$29000$yMnKy8zNzs/Q0dLT1NXW1w$wsoq9oxek7OXNr1jIWNQimSHWjaA5c18np74bWj2wAA',
  ],
  'passlib’s PBKDF2-SHA256, of its documentation': [
    '$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ',
    'password',
  ],
  'passlib’s PBKDF2-SHA512': [
    '$pbkdf2-sha512$25000$yMnKy8zNzs/Q0dLT1NXW1w$5/JeZXdCSp78I88JzVbYDPiFeUzZbRZj8jSUaInRp62.4HUmmvfaqEQgDfZNqixIyKFeucdQmK9pMbm9rMCzNg',
  ],
  'PBKDF2 in PHC': [
    '$pbkdf2-sha256$i=5000,l=32$yMnKy8zNzs/Q0dLT1NXW1w$pMS242ElnwisSy39zDQuwXLfdjLDkAVqeKa3ZMC66Dc',
  ],
  Django: ['pbkdf2_sha256$870000$Yc3kDPpGQhUhU2ORAYQGLQ$cl/66YmjZFMiDSCzVTE8v3adUx9gVUjths3NzjbhXSM='],
  'Django, of its own tests': [
    'pbkdf2_sha256$1000000$seasalt$r1uLUxoxpP2Ued/qxvmje7UH9PUJBkRrvf9gGPL7Cps=',
    'lètmein',
  ],
  'Django’s PBKDF2-SHA1': ['pbkdf2_sha1$1000$seasalt$FQdndNiMSpBoYv8RbX3Mq/+8C7o='],
  Keycloak: [KEYCLOAK],
  'Keycloak, as JSON in a text': [JSON.stringify(KEYCLOAK, null, 2)],
  'Keycloak, its parts as objects': [
    {
      ...KEYCLOAK,
      secretData: JSON.parse(KEYCLOAK.secretData),
      credentialData: JSON.parse(KEYCLOAK.credentialData),
    },
  ],
  'Keycloak with SHA-512': [
    keycloak(
      {
        value: '3HMSUDohSk5QsKYmAyc3XHeLql2UpZKOE9BFs7/u29K3ByuJdSSgax5a9c/EWfcWp31vRKBcCPS8gOu7loZFtQ==',
        salt: KEYCLOAK_SALT,
      },
      { hashIterations: 210000, algorithm: 'pbkdf2-sha512' },
    ),
  ],
  'Keycloak with SHA-1': [
    keycloak(
      {
        value: 'WdKO2Wp5+3OJl2zv8726rafpDcHxwJ21nptU+BLUDdyA8eLS5bODCEdZqjJpkp548DGVVbOpSECUkM2eU3mqvA==',
        salt: KEYCLOAK_SALT,
      },
      { hashIterations: 20000, algorithm: 'pbkdf2' },
    ),
  ],
  'Keycloak with argon2': [
    keycloak(
      { value: 'CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc=', salt: 'c29tZXNhbHQ=' },
      {
        hashIterations: 2,
        algorithm: 'argon2',
        additionalParameters: {
          hashLength: ['32'],
          memory: ['65536'],
          type: ['id'],
          version: ['1.3'],
          parallelism: ['1'],
        },
      },
    ),
    'password',
  ],
}

/** Of at least our cost, so it may stay. */
const KEPT = ['argon2id', 'Django’s argon2', 'Keycloak with argon2']

test('a hash of another system is of its password and of no other', async (t) => {
  const passwords = startPasswordHashing(IN_COMMAND)
  t.teardown(() => passwords.close())
  for (const [name, [hash, password = PASSWORD]] of Object.entries(VECTORS)) {
    const stored = readImportedHash(hash, FIREBASE)
    t.equal(await passwords.verify(password, stored), true, name)
    for (const wrong of [`${password} `, password.toUpperCase(), '']) {
      t.equal(await passwords.verify(wrong, stored), false, `${name}: ${wrong}`)
    }
    t.equal(readImportedHash(stored), stored, `${name}: what is stored can be imported`)
    t.equal(needsRehash(stored), !KEPT.includes(name), `${name}: whether it is replaced`)
  }
})

test('of what Firebase keeps, the signer key is not stored', async (t) => {
  const stored = readImportedHash(FIREBASE_USER, FIREBASE)
  for (const secret of [FIREBASE.signerKey.toString('base64'), FIREBASE_USER.passwordHash]) {
    t.notOk(stored.includes(secret.slice(0, 20)))
  }
})

test('bcrypt looks at the first 72 bytes, as it does everywhere', async (t) => {
  const passwords = startPasswordHashing(IN_COMMAND)
  t.teardown(() => passwords.close())
  const ofEighty = readImportedHash('$2b$05$N9qo8uLOickgx2ZMRZoMyej2j0Zkw2E5XohszjUUJVaz5JPjerhg6')
  for (const [length, is] of [
    [80, true],
    [72, true],
    [200, true],
    [71, false],
  ] as const) {
    t.equal(await passwords.verify('x'.repeat(length), ofEighty), is, `${length} bytes`)
  }
})

test('a password is tried as it was typed, where that is not NFC', async (t) => {
  const passwords = startPasswordHashing(IN_COMMAND)
  t.teardown(() => passwords.close())
  const decomposed = 'lètmein'.normalize('NFD')
  t.equal(
    await passwords.verify(decomposed, readImportedHash(VECTORS['Django, of its own tests']?.[0])),
    true,
  )
  // hashlib’s, of the decomposed form.
  const typed = readImportedHash('pbkdf2_sha256$1$seasalt$XPlB5Vk89zGVErW6+uWozwibO3fGyZH71gCpVnzQ5n8=')
  t.equal(await passwords.verify(decomposed, typed), true)
  t.equal(await passwords.verify('lètmein', typed), false)
})

function refused(t: Test, value: unknown, says: RegExp, firebase?: FirebaseParameters): void {
  const name = (typeof value === 'string' ? value : JSON.stringify(value)) ?? 'undefined'
  t.throws(() => readImportedHash(value, firebase), { name: 'TypeError', message: says }, name.slice(0, 60))
}

test('what is malformed, unsupported or too dear is refused, and not repeated', async (t) => {
  const salt = 'c29tZXNhbHQ'
  const key = 'CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'
  const bcrypt = 'N9qo8uLOickgx2ZMRZoMye/PTRZo5XhgwSza6Of2I4B.4ym4ZZEly'
  const rows: [unknown, RegExp][] = [
    ['', /is empty/],
    ['correct horse', /of no known kind/],
    ['5f4dcc3b5aa765d61d8327deb882cf99', /of no known kind/],
    ['$1$salt$hash', /of no known kind/],
    ['$toString$x', /of no known kind/],
    ['!kJ2vzY5d', /unusable/],
    [undefined, /no text and no JSON object/],
    [null, /no text and no JSON object/],
    [['x'], /no text and no JSON object/],
    [{}, /neither a Keycloak credential nor of a Firebase/],
    ['{"type":', /begins like JSON and is none/],

    [`$2x$10$${bcrypt}`, /\$2x\$/],
    [`$2b$10$${bcrypt.slice(1)}`, /malformed/],
    [`$2b$10$${bcrypt}x`, /malformed/],
    [`$2b$03$${bcrypt}`, /cost that cannot be/],
    [`$2b$15$${bcrypt}`, /costs more than.*at most 14/],
    [`$2b$31$${bcrypt}`, /costs more than/],
    [`bcrypt_sha256$$2b$12$${bcrypt}`, /bcrypt_sha256, which is not supported/],

    [`$argon2id$v=19$m=65536,t=2,p=1$${salt}$${key}=`, /key that is not base64/],
    [`$argon2id$v=19$m=65536,t=2,p=1$${salt}$`, /malformed/],
    [`$argon2id$v=19$m=65536,t=2,p=1$${salt}$CTFhFdXPJO1aFaMaO6Mm`, /key that is not of 16 to 128 bytes/],
    [`$argon2id$v=18$m=65536,t=2,p=1$${salt}$${key}`, /malformed/],
    [`$argon2id$v=19$m=65536,t=0,p=1$${salt}$${key}`, /cannot be/],
    [`$argon2id$v=19$m=2097152,t=1,p=4$${salt}$${key}`, /costs more than/],
    [`$argon2id$v=19$m=65536,t=17,p=1$${salt}$${key}`, /costs more than/],

    [`$scrypt$ln=18,r=8,p=1$${salt}$${key}`, /costs more than/],
    [`$scrypt$ln=14,r=8,p=17$${salt}$${key}`, /costs more than/],
    [`$scrypt$ln=0,r=8,p=1$${salt}$${key}`, /cannot be/],
    [`$scrypt$ln=14,r=8$${salt}$${key}`, /malformed/],
    ['scrypt$16383$seasalt$8$1$vqAmQQtZro1t10JSS6qv6g==', /cannot be/],

    [`$pbkdf2-sha256$3000001$${salt}$${key}`, /costs more than.*3000000 iterations/],
    [`$pbkdf2-sha512$9999999999$${salt}$${key}`, /costs more than/],
    [`$pbkdf2-sha256$0$${salt}$${key}`, /cannot be/],
    [`$pbkdf2-sha384$1000$${salt}$${key}`, /of no known kind/],
    [`$pbkdf2-sha256$1000$${salt}$x`, /not base64/],
    ['pbkdf2_sha256$1000$seasalt$AAAA', /not of 16 to 128 bytes/],

    [{ ...KEYCLOAK, type: 'otp' }, /no password/],
    [{ ...KEYCLOAK, secretData: '{' }, /JSON/],
    [{ ...KEYCLOAK, secretData: '{}' }, /has no key/],
    [{ ...KEYCLOAK, credentialData: '{"hashIterations":1,"algorithm":"md5"}' }, /algorithm/],
    [{ ...KEYCLOAK, credentialData: '{"algorithm":"pbkdf2-sha256"}' }, /malformed|cannot be/],
    [{ ...KEYCLOAK, credentialData: '{"hashIterations":1,"algorithm":"argon2"}' }, /kind|malformed/],

    [FIREBASE_USER, /give its project’s parameters/],
    [{ passwordHash: 'x' }, /needs passwordHash and salt/],
  ]
  for (const [value, says] of rows) refused(t, value, says)
  refused(t, FIREBASE_USER, /another project/, { ...FIREBASE, signerKey: Buffer.alloc(32) })
  for (const [value] of rows) {
    try {
      readImportedHash(value)
    } catch (error) {
      t.notMatch((error as Error).message, /CTFh|N9qo|seasalt|c29t|5f4d|horse/)
    }
  }
})

test('a stored hash is of one text', async (t) => {
  for (const [name, [hash]] of Object.entries(VECTORS)) {
    const stored = readImportedHash(hash, FIREBASE)
    t.match(stored, /^\$(argon2(id|i|d)|2[aby]|scrypt|firebase-scrypt|pbkdf2-sha(1|256|512))\$[^{}_]*$/, name)
    t.ok(readStoredHash(stored).kind)
  }
  for (const damaged of ['', '$', '$$', 'x'.repeat(2000), '$argon2id$']) t.notOk(needsRehash(damaged))
})
