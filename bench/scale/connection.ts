import { connect, type Socket } from 'node:net'

export interface PlainAnswer {
  readonly status: number
  readonly body: string
}

/** Patience with a server that holds the connection and does not answer. */
const TIMEOUT_MS = 5000

/**
 * One kept-alive connection, one request at a time. It knows just enough of HTTP for what the server answers, because
 * here the load shares its cores with the server, and a whole HTTP client costs a quarter of a refresh.
 */
export class Connection {
  readonly #port: number
  readonly #head: string
  #socket: Socket | undefined
  #received = ''
  bytesSent = 0
  bytesReceived = 0
  #settle: { resolve: (answer: PlainAnswer) => void; reject: (error: Error) => void } | undefined

  constructor(url: string, userAgent: string) {
    this.#port = Number(new URL(url).port)
    this.#head =
      `POST /token HTTP/1.1\r\nHost: localhost:${this.#port}\r\nUser-Agent: ${userAgent}\r\n` +
      'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: '
  }

  /** @throws Error when the connection is refused, is cut, or nothing comes. The next request connects anew. */
  post(form: string): Promise<PlainAnswer> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#socket ??= this.#open()
      // All that is sent is ASCII.
      const request = `${this.#head}${form.length}\r\n\r\n${form}`
      this.bytesSent += request.length
      this.#socket.write(request)
    })
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #open(): Socket {
    const socket = connect(this.#port, '127.0.0.1').setEncoding('latin1').setNoDelay()
    const cut = (error = new Error('the connection was closed')) => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#received = ''
      socket.destroy()
      this.#take()?.reject(error)
    }
    socket.setTimeout(TIMEOUT_MS, () => {
      if (this.#settle) cut(new Error('no answer'))
    })
    socket.on('error', cut)
    socket.on('close', () => cut())
    socket.on('data', (text: unknown) => {
      this.#received += text
      this.bytesReceived += String(text).length
      const answer = answerOf(this.#received)
      if (!answer) return
      this.#received = ''
      this.#take()?.resolve(answer)
    })
    return socket
  }

  #take() {
    const settle = this.#settle
    this.#settle = undefined
    return settle
  }
}

/** @returns `undefined` until the whole answer is there. */
function answerOf(text: string): PlainAnswer | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1])
  if (Number.isNaN(length)) throw new Error(`an answer without length:\n${text}`)
  if (text.length < end + 4 + length) return undefined
  return { status: Number(text.slice(9, 12)), body: text.slice(end + 4, end + 4 + length) }
}
