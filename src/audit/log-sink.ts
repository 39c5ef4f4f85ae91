import { type DestinationStream, type Logger, pino } from 'pino'
import type { AuditSink } from './sink.ts'

/** Where audit lines go: `stdout` is the server's own log. */
export type AuditLog = 'stdout' | 'stderr' | (string & {})

/** The audit log cannot be opened. The message names the file and the mend. */
export class AuditLogError extends Error {}

/**
 * Writes a line of JSON for each record, with `audit: true`, in the server's log or apart from it.
 *
 * @param log the server's own; only `silent` keeps audit lines out of it.
 * @param flushLog writes what waits in it: audit lines do not wait.
 * @throws {AuditLogError} when the file cannot be opened.
 */
export function logSink(destination: AuditLog, log: Logger, flushLog: () => void): AuditSink {
  const isApart = destination !== 'stdout'
  const lines = isApart ? pino({ base: { audit: true } }, open(destination)) : inLog(log)
  return {
    take({ time: _, ...record }) {
      // Pino says the time, as in every line.
      lines.info(record, record.event)
      if (!isApart) flushLog()
    },
    async close() {
      if (isApart) lines.flush()
    },
  }
}

/** Whatever else is too much for the log, audit events are not. */
function inLog(log: Logger): Logger {
  return log.child({ audit: true }, { level: log.level === 'silent' ? 'silent' : 'info' })
}

function open(destination: string): DestinationStream {
  if (destination === 'stderr') return pino.destination({ dest: 2, sync: true })
  try {
    const file = pino.destination({ dest: destination, append: true, mode: 0o600, sync: true })
    return file
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new AuditLogError(
      `AUDIT_LOG ${destination} cannot be opened (${code}). Name a file in a folder that this user may write to.`,
    )
  }
}
