import { readConfig } from '../config/config.ts'
import { type Command, CommandError, noOperands } from './command.ts'

const TIME_LIMIT_MS = 2000

export const HEALTHCHECK: Command = {
  name: 'healthcheck',
  operands: '',
  summary: 'exit 0 if the local server is ready (for container health checks)',
  options: {},
  async run(args, { environment, print }) {
    noOperands(args)
    const { managementHost, managementPort } = readConfig(environment)
    // A server that listens everywhere listens here too.
    const host = ['0.0.0.0', '::'].includes(managementHost) ? '127.0.0.1' : managementHost
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${managementPort}/health/ready`
    const response = await fetch(url, { signal: AbortSignal.timeout(TIME_LIMIT_MS) }).catch(() => undefined)
    if (!response?.ok) {
      throw new CommandError(
        response ? `The server is not ready (${response.status})` : `No server answers at ${url}`,
      )
    }
    print('ready')
    return 0
  },
}
