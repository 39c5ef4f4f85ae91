import { readdirSync, readFileSync } from 'node:fs'

const FOLDER = new URL('./commands/', import.meta.url)

/** The scripts of `commands/`, as ioredis takes them. A file's name is its command and its number of keys, `n` where it varies. */
export const SCRIPTS: Readonly<Record<string, { lua: string; numberOfKeys?: number }>> = Object.fromEntries(
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.lua'))
    .map((file) => {
      const [name = '', keys] = file.slice(0, -'.lua'.length).split('-')
      const lua = readFileSync(new URL(file, FOLDER), 'utf8')
      return [name, { lua, ...(keys !== 'n' && { numberOfKeys: Number(keys) }) }]
    }),
)

export type Value = string | number

/** The commands that ioredis adds for the scripts. */
export interface Commands {
  familyCreate(
    keys: number,
    ...keysAndArgs: Value[]
  ): Promise<[createdAt: number, ...members: string[]] | null>
  familyAdvance(family: string, user: string, ...args: Value[]): Promise<string>
  familyLook(family: string, user: string): Promise<string>
  familyNoteReplay(family: string, lockstepGeneration: number, lockstepRun: number): Promise<null>
  familyRevoke(family: string, reason: string): Promise<'revoked' | 'already_revoked' | 'gone'>
  familyAdopt(family: string, user: string, index: string, ...args: Value[]): Promise<0 | 1>
  usernamesTake(usernames: string, ...namesAndSubs: string[]): Promise<(0 | 1)[]>
  usernameReplace(usernames: string, name: string, from: string, to: string): Promise<0 | 1>
  usernameRelease(usernames: string, name: string, sub: string): Promise<0 | 1>
  userReplaceHash(user: string, from: string, epoch: string, to: string): Promise<0 | 1>
  userChange(user: string, epoch: number | '', ...fields: Value[]): Promise<0 | 1>
  attemptReserve(keys: number, ...subjectsAndArgs: Value[]): Promise<[at: number, pending: 0 | 1, ms: number]>
  attemptSettle(keys: number, ...subjectsAndArgs: Value[]): Promise<null>
  networkNote(networks: string, digest: string, most: number, ms: number): Promise<null>
  recordCreate(record: string, ...fields: Value[]): Promise<0 | 1>
  recordChange(record: string, ...fields: Value[]): Promise<0 | 1>
}
