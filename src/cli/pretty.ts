import type { DestinationStream } from 'pino'
import pretty from 'pino-pretty'

/** Log lines for a person's eyes, one line each. @param destination a file descriptor. */
export function pinoPretty(destination: number): DestinationStream {
  return pretty({
    destination,
    sync: true,
    singleLine: true,
    ignore: 'audit,event,id,actor,configuration',
    translateTime: 'SYS:HH:MM:ss',
  })
}
