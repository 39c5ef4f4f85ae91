import { test } from 'tap'
import { loadPasswordRules } from '../../src/accounts/password-rules.ts'

const ISSUER = 'https://auth.example.com/login'
const rules = (passwordMinLength = 15) => loadPasswordRules({ passwordMinLength, issuer: ISSUER })

test('the length is counted in code points, after NFC', async (t) => {
  const { fault } = await rules()
  t.equal(fault('walks by the sea', 'ada'), undefined)
  t.match(fault('walks by a sea', 'ada'), /shorter than 15 characters/)
  t.match(fault('', 'ada'), /shorter than 15/)
  const horses = '🐴🦄🐎🐷🐮🐔🐧🐦🐤🐣🦆🦅🦉🦇'
  t.match(fault(horses, 'ada'), /shorter/, '14 of them, though they are 28 code units')
  t.equal(fault(`${horses}🐺`, 'ada'), undefined)
  const decomposed = 'walks bÿ a seä'.normalize('NFD')
  t.match(fault(decomposed, 'ada'), /shorter/, '14 composed, 16 as typed')
  const words = Array.from({ length: 64 }, (_, i) => `${String.fromCharCode(97 + ((i * 7) % 26))}${i % 10}é `)
  t.equal(fault(words.join('').slice(0, 256), 'ada'), undefined)
  t.match(fault(`${words.join('').slice(0, 256)}x`, 'ada'), /longer than 256/)
})

test('the least length is a setting', async (t) => {
  t.equal((await rules(8)).fault('by a sea', 'ada'), undefined)
  t.match((await rules(8)).fault('by asea', 'ada'), /shorter than 8/)
  t.match((await rules(64)).fault('walks along the river and under the bridge', 'ada'), /shorter than 64/)
})

test('there is no rule of composition', async (t) => {
  const { fault } = await rules()
  for (const password of [
    'correct horse battery staple',
    'the cat sat on the mat',
    '¡un gato en la ventana!',
    'собака на дороге',
    '  spaces count too  ',
    '8315 0274 9917 4402',
    'ada went to the sea',
    'password hygiene lecture',
  ]) {
    t.equal(fault(password, 'ada'), undefined, password)
  }
})

test('what is tried first is refused, with the reason', async (t) => {
  const long = await rules()
  const short = await rules(8)
  const rows: [password: string, says: RegExp, username?: string][] = [
    ['aaaaaaaaaaaaaaaa', /repeats/],
    ['abcabcabcabcabcabc', /repeats/],
    ['1212121212121212', /repeats/],
    ['🐴🐴🐴🐴🐴🐴🐴🐴🐴🐴🐴🐴🐴🐴🐴🐴', /repeats/],
    ['abcdefghijklmnop', /sequence/],
    ['9876543210987654', /sequence/],
    ['qwertyuiopasdfgh', /sequence/],
    ['QwErTyUiOp123456', /sequence/],
    ['1qaz2wsx3edc4rfv', /sequence/],
    ['aaaabbbbccccdddd', /sequence/],
    ['password1234567', /tried first/],
    ['PassWord!!!!!!!!', /tried first/],
    ['!!123sunshine321!!', /tried first/],
    ['passwordpassword', /tried first/],
    ['momsanaladventure', /tried first/],
    ['ada.lovelace.1815', /name of the user/, 'Ada.Lovelace'],
    ['adalovelace-1815!', /name of the user/, 'ada.lovelace@example.org'],
    ['lovelacelovelace', /tried first|name of the user/, 'ada.lovelace'],
    ['pawl-pawl-2026-09', /name of the user or of this server/],
    ['auth.example.com!', /name of the user or of this server/],
    ['ZoëMüller-Müller9', /name of the user/, 'zoë müller'],
  ]
  for (const [password, says, username = 'ada'] of rows) {
    t.match(long.fault(password, username), says, password)
  }
  for (const password of ['password', 'iloveyou', 'trustno1', 'Football', '11111111', 'baseball1']) {
    t.ok(short.fault(password, 'ada'), `${password}, where 8 characters are enough`)
  }
  for (const [password] of rows) t.notMatch(long.fault(password, 'ada') ?? '', password, 'it is not repeated')
})

test('every common password of the list is refused', async (t) => {
  const { fault } = await rules(8)
  const { dictionary } = await import('@zxcvbn-ts/language-common')
  const long = dictionary['passwords-common'].filter((password) => [...password].length >= 8)
  t.ok(long.length > 10_000, `${long.length} of them`)
  const passed = long.filter((password) => fault(password, 'nobody') === undefined)
  t.strictSame(passed, [])
})
