import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generate } from 'selfsigned'

export interface CertificateFiles {
  key: string
  cert: string
  ca: string
}

/** Writes a certificate authority and a certificate of its making for 127.0.0.1 into `dir`; returns the paths. */
export async function writeCertificates(dir: string): Promise<CertificateFiles> {
  const authority = await generate([{ name: 'commonName', value: 'Pawl test authority' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  })
  const server = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
    ca: { key: authority.private, cert: authority.cert },
  })
  const files = { key: join(dir, 'tls.key'), cert: join(dir, 'tls.crt'), ca: join(dir, 'tls-ca.crt') }
  await writeFile(files.key, server.private, { mode: 0o600 })
  await writeFile(files.cert, server.cert)
  await writeFile(files.ca, authority.cert)
  return files
}
