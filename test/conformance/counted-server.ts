import { type NotedServer, startNotedServer } from '../support/noted-calls.ts'
import { clientOf, type Stage } from './context.ts'

export type CountedServer = ReturnType<typeof clientOf> & Pick<NotedServer, 'count'>

/** Runs work against a server on the shared store whose questions to the store and the hashing are counted. */
export async function withCountedServer<T>(
  { deployment }: Stage,
  network: number,
  work: (server: CountedServer) => Promise<T>,
): Promise<T> {
  const server = await startNotedServer(deployment.env)
  try {
    return await work({ ...clientOf(server.url, network), count: server.count })
  } finally {
    await server.close()
  }
}
