import type { Target } from './target.ts'
import { ACCESS_TOKEN } from './targets/access-token.ts'
import { BASIC } from './targets/basic.ts'
import { CONFIG, SEED_FILE, STORE_URL } from './targets/config.ts'
import { FORM } from './targets/form.ts'
import { CSV, IMPORT_ROW, NDJSON } from './targets/import.ts'
import { RING_FILE, SECRET_FILE, SIGNING_KEY } from './targets/keys.ts'
import { REFRESH_TOKEN } from './targets/refresh-token.ts'
import { SCOPE } from './targets/scope.ts'
import { SENDER } from './targets/sender.ts'

/** Everything that reads what strangers, other systems or an operator's files say. */
export const TARGETS: readonly Target[] = [
  REFRESH_TOKEN,
  ACCESS_TOKEN,
  BASIC,
  FORM,
  SCOPE,
  SENDER,
  SIGNING_KEY,
  SECRET_FILE,
  RING_FILE,
  IMPORT_ROW,
  NDJSON,
  CSV,
  CONFIG,
  STORE_URL,
  SEED_FILE,
]
