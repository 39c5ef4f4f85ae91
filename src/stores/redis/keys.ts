import { userLocator, usernameKey } from '../../accounts/user.ts'
import { locatorOf } from '../../tokens/refresh-token.ts'

/*
 * Every key of the store; docs/storage.md explains them. What belongs to one user shares the hash tag {locator}, hence
 * one slot of a cluster, so that one script can hold a family against its user.
 */
export const familyKey = (id: string) => `pawl:f:{${locatorOf(id)}}${id.slice(locatorOf(id).length)}`
/** All families, whoever's. */
export const FAMILY_PATTERN = 'pawl:f:*'
/** The id of the family that is under this key. */
export const idOfKey = (key: string) => key.slice('pawl:f:'.length).replace(/[{}]/g, '')
export const indexMember = (id: string) => id.slice(locatorOf(id).length)
export const userKey = (locator: string) => `pawl:u:{${locator}}`
export const locatorOfUserKey = (key: string) => key.slice('pawl:u:{'.length, -1)
/** The index of the user's sessions, but for the one in the user's own record. */
export const sessionsKey = (locator: string) => `pawl:s:{${locator}}`
/** The index of those that do not count. */
export const briefSessionsKey = (locator: string) => `pawl:b:{${locator}}`
/** All in one slot, so that one script can hold an attempt against all its budgets. */
export const attemptsKey = (subject: string) => `pawl:a:{a}${subject}`
export const networksKey = (username: string) => `pawl:n:${usernameKey(username)}`
export const clientKey = (clientId: string) => `pawl:c:${clientId}`
/** The set of all client identifiers. */
export const CLIENTS_KEY = 'pawl:clients'
/** The hash from a name's digest to the `sub` of its user. */
export const USERNAMES_KEY = 'pawl:usernames'

/** The stream of the latest audit events. */
export const AUDIT_KEY = 'pawl:audit'

/** Where to look for the user of a name that nobody has, so that it takes as many looks. */
export const nobodysKey = (username: string) => userKey(userLocator(usernameKey(username)))
