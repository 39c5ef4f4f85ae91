import { FORM_TYPE } from '../support/http-client.ts'

/** Requests that were once answered wrongly; each is sent again at every run, before new ones are generated. */
export const REGRESSIONS: Readonly<Record<string, { readonly octets: Buffer }>> = {
  // A 500: LMDB throws for a key of more than 1978 bytes.
  'a client_id longer than any key': post(
    `grant_type=password&username=x&password=x&client_id=${'a'.repeat(4000)}`,
  ),
}

function post(body: string): { octets: Buffer } {
  const head = ['POST /token HTTP/1.1', 'Host: x', `Content-Type: ${FORM_TYPE}`, 'Connection: close']
  return { octets: Buffer.from([...head, `Content-Length: ${body.length}`, '', body].join('\r\n'), 'latin1') }
}
