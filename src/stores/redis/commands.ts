import { readdirSync, readFileSync } from 'node:fs'

const FOLDER = new URL('./commands/', import.meta.url)

/** The scripts of `commands/`, as ioredis takes them. A file's name is its command and its number of keys. */
export const SCRIPTS = Object.fromEntries(
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.lua'))
    .map((file) => {
      const [name = '', keys] = file.slice(0, -'.lua'.length).split('-')
      return [name, { lua: readFileSync(new URL(file, FOLDER), 'utf8'), numberOfKeys: Number(keys) }]
    }),
)

type Value = string | number

/** The commands that ioredis adds for the scripts. */
export interface Commands {
  familyCreate(family: string, user: string, index: string, ...args: Value[]): Promise<number | null>
  familyAdvance(family: string, user: string, index: string, ...args: Value[]): Promise<string>
  familyLook(family: string, user: string): Promise<string>
  familyNoteReplay(family: string, lockstepGeneration: number, lockstepRun: number): Promise<null>
  familyRevoke(family: string, reason: string): Promise<'revoked' | 'already_revoked' | 'gone'>
  usernamesTake(usernames: string, ...namesAndSubs: string[]): Promise<(0 | 1)[]>
  usernameReplace(usernames: string, name: string, from: string, to: string): Promise<0 | 1>
  usernameRelease(usernames: string, name: string, sub: string): Promise<0 | 1>
  userReplaceHash(user: string, from: string, epoch: string, to: string): Promise<0 | 1>
  recordCreate(record: string, ...fields: Value[]): Promise<0 | 1>
  recordChange(record: string, ...fields: Value[]): Promise<0 | 1>
}
