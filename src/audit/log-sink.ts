import { type DestinationStream, type Logger, pino } from 'pino'
import { type AuditSink, countDrops, type OnDropped } from './sink.ts'

/** Where audit lines go: `stdout` is the server's own log. */
export type AuditLog = 'stdout' | 'stderr' | (string & {})

/** What may wait for a file that cannot be written, such as on a full disk. */
const MAX_WAITING_BYTES = 1024 * 1024

/** The audit log cannot be opened. The message names the file and the mend. */
export class AuditLogError extends Error {}

/**
 * Writes a line of JSON for each record, with `audit: true`, in the server's log or apart from it.
 *
 * @param log the server's own; only `silent` keeps audit lines out of it.
 * @param flushLog writes what waits in it: audit lines do not wait.
 * @throws {AuditLogError} when the file cannot be opened.
 */
export function logSink(
  destination: AuditLog,
  log: Logger,
  flushLog: () => void,
  onDropped: OnDropped,
): AuditSink {
  const isApart = destination !== 'stdout'
  const drops = countDrops(onDropped)
  const onError = (error: NodeJS.ErrnoException) => drops.drop(1, error.code ?? error.message)
  const lines = isApart ? pino({ base: { audit: true } }, open(destination, onError)) : inLog(log)
  return {
    take({ time: _, ...record }) {
      // Pino says the time, as in every line.
      lines.info(record, record.event)
      if (!isApart) flushLog()
    },
    async close() {
      if (isApart) lines.flush()
      drops.close()
    },
  }
}

/** Whatever else is too much for the log, audit events are not. */
function inLog(log: Logger): Logger {
  return log.child({ audit: true }, { level: log.level === 'silent' ? 'silent' : 'info' })
}

function open(destination: string, onError: (error: NodeJS.ErrnoException) => void): DestinationStream {
  const settings = { sync: true, maxLength: MAX_WAITING_BYTES }
  try {
    const stream = pino.destination(
      destination === 'stderr' ? { ...settings, dest: 2 } : { ...settings, dest: destination, mode: 0o600 },
    )
    // Without a listener it would be thrown, at the request that the event is about.
    stream.on('error', onError)
    return stream
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new AuditLogError(
      `AUDIT_LOG ${destination} cannot be opened (${code}). Name a file in a folder that this user may write to.`,
    )
  }
}
