import { once } from 'node:events'
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './free-port.ts'

/** A network that misbehaves on request, between a client and a server on loopback. */
export interface TcpProxy {
  /** The loopback port to connect to instead of the target's. */
  port: number
  /** Replies that `dropNextReply` has swallowed so far. */
  readonly droppedReplies: number
  /** The next reply is swallowed and its connection cut: the server has carried the command out, the client never hears. */
  dropNextReply(): void
  /** From now on each reply arrives this many milliseconds late; 0 for none. */
  setDelayMs(delayMs: number): void
  /**
   * `true`: the connections that are open, and those that come, are dead for good, and nobody is told: as behind a
   * firewall that has forgotten them. `false`: new ones are as they should be.
   */
  swallow(swallowed: boolean): void
  /** Ends the direction towards the client of every connection that is open; what the client sends still arrives. */
  halfCloseAll(): void
  /** Cuts every connection that is open. */
  cutAll(): void
  /** `true`: new connections are refused, open ones stay; `false`: the port listens again. */
  refuse(refused: boolean): Promise<void>
  stop(): Promise<void>
}

/** Starts a proxy from a free loopback port to `targetPort` on loopback. */
export async function startProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let dropNext = false
  let droppedReplies = 0
  let delayMs = 0
  let swallowed = false
  const clients = new Set<Socket>()
  const dead = new WeakSet<Socket>()

  function accept(client: Socket): void {
    const server = dial(targetPort, '127.0.0.1')
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      // The close that follows says all that matters.
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    clients.add(client)
    if (swallowed) dead.add(client)
    client.on('close', () => clients.delete(client))
    client.on('data', (command) => {
      if (dead.has(client) || !server.writable) return
      if (!server.write(command)) client.pause()
    })
    server.on('drain', () => client.resume())
    client.on('end', () => server.end())
    client.on('close', () => server.destroy())

    // One chain for each connection keeps its replies in order while the delay changes.
    let replies = Promise.resolve()
    const afterReplies = (act: () => void) => {
      const due = delayMs > 0 ? sleep(delayMs, undefined, { ref: false }) : undefined
      replies = replies.then(() => due).then(act)
    }
    server.on('data', (reply) => {
      if (dead.has(client)) return
      if (!dropNext) return afterReplies(() => client.writable && client.write(reply))
      dropNext = false
      droppedReplies++
      client.destroy()
    })
    server.on('close', () => afterReplies(() => client.end()))
  }

  const port = await freePort()
  let listener = await listen()

  async function listen(): Promise<Server> {
    const server = createServer({ allowHalfOpen: true }, accept).listen(port, '127.0.0.1')
    await once(server, 'listening')
    return server
  }

  function cutAll(): void {
    for (const socket of sockets) socket.destroy()
  }

  return {
    port,
    get droppedReplies() {
      return droppedReplies
    },
    dropNextReply() {
      dropNext = true
    },
    setDelayMs(ms) {
      delayMs = ms
    },
    swallow(isSwallowed) {
      swallowed = isSwallowed
      if (swallowed) for (const client of clients) dead.add(client)
    },
    halfCloseAll() {
      for (const client of clients) client.end()
    },
    cutAll,
    async refuse(refused) {
      if (refused) listener.close()
      else if (!listener.listening) listener = await listen()
    },
    async stop() {
      const closed = listener.listening && once(listener, 'close')
      listener.close()
      cutAll()
      await closed
    },
  }
}
