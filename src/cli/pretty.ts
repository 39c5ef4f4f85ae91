import type { DestinationStream } from 'pino'

/** Log lines for a person's eyes, one line each. @param destination a file descriptor. */
export async function pinoPretty(destination: number): Promise<DestinationStream> {
  // Of all the verbs one alone needs it.
  const { default: pretty } = await import('pino-pretty')
  return pretty({
    destination,
    sync: true,
    singleLine: true,
    ignore: 'audit,event,id,actor,configuration',
    translateTime: 'SYS:HH:MM:ss',
  })
}
