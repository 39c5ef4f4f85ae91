/*
 * What the primary and its workers say to each other. Node's cluster module has messages of its own on the same
 * channel, so that these are told apart by their one member.
 */

/** A request to the management listener, which only the primary has. */
export interface ManagementRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface ManagementAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What the primary may ask, and what it is answered with. */
export interface Questions {
  readonly manage: { readonly asks: ManagementRequest; readonly answer: ManagementAnswer }
  /** The metrics as their library puts them into JSON. */
  readonly metrics: {
    readonly asks: null
    readonly answer: { readonly pid: number; readonly metrics: readonly object[] }
  }
}

export type Topic = keyof Questions

export type ToWorker =
  | { readonly pawl: 'stop' }
  | { readonly pawl: 'ask'; readonly id: number; readonly topic: Topic; readonly asks: unknown }

export type ToPrimary = { readonly pawl: 'answer'; readonly id: number; readonly answer: unknown }

/** Whether something that came on the channel is one of ours. */
export function isOurs(message: unknown): message is ToWorker | ToPrimary {
  return typeof message === 'object' && message !== null && 'pawl' in message
}
