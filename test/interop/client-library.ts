/** The methods of client authentication, by their registered names. */
export const AUTH_METHODS = ['client_secret_basic', 'client_secret_post', 'none'] as const
export type AuthMethod = (typeof AUTH_METHODS)[number]

/** Who a library is to speak for. */
export interface ClientIdentity {
  readonly issuer: string
  readonly clientId: string
  /** Empty for a public client. */
  readonly secret: string
  readonly method: AuthMethod
}

/** A token response, in the RFC's names, as the library has understood it. */
export interface LibraryTokens {
  readonly access_token: string
  readonly refresh_token?: string | undefined
  readonly scope?: string | undefined
}

/** What the library makes of a refusal. */
export interface LibraryError {
  /** Of the HTTP answer. */
  readonly status: number | undefined
  /** The `error` member; undefined where the library found none. */
  readonly code: string | undefined
}

type Hint = 'access_token' | 'refresh_token'

/** A client library, set up for one client. What it does not offer is absent. */
export interface LibraryClient {
  /** The issuer, read from the metadata that the library went by. */
  readonly discovered?: string | undefined
  password(username: string, password: string): Promise<LibraryTokens>
  /** @param scope narrows, where it is given. */
  refresh(tokens: LibraryTokens, scope?: string): Promise<LibraryTokens>
  clientCredentials(): Promise<LibraryTokens>
  revoke(tokens: LibraryTokens, hint: Hint): Promise<void>
  introspect?(token: string): Promise<Readonly<Record<string, unknown>>>
  /** The same by RFC 9701: the library asks for a signed answer and verifies it. */
  introspectSigned?(token: string): Promise<Readonly<Record<string, unknown>>>
}

/** One library and how it is used. Its file is all that is particular to it. */
export interface ClientLibrary {
  /** The npm package. */
  readonly name: string
  connect(identity: ClientIdentity): Promise<LibraryClient>
  /** Reads what the library throws. */
  errorOf(thrown: unknown): LibraryError
}
