import type { Logger } from 'pino'
import { type Auditing, createAuditing } from '../audit/audit.ts'
import { logSink } from '../audit/log-sink.ts'
import type { AuditSink, OnDropped } from '../audit/sink.ts'
import { storeSink } from '../audit/store-sink.ts'
import type { AuditTrail } from '../audit/trail.ts'
import { webhookSink } from '../audit/webhook-sink.ts'
import type { Config } from '../config/config.ts'
import { parseWebhookSecrets } from '../webhooks/signing.ts'

/**
 * The sinks that the configuration asks for.
 *
 * @throws {AuditLogError} when the file of AUDIT_LOG cannot be opened.
 */
export function startAuditing(
  config: Config,
  trail: AuditTrail,
  log: Logger,
  flushLog: () => void,
): Auditing {
  const droppedBy =
    (sink: string): OnDropped =>
    (dropped, reason) =>
      log.error({ sink, dropped, reason }, 'audit events were dropped')
  const sinks: AuditSink[] = [logSink(config.auditLog, log, flushLog, droppedBy('log'))]
  if (config.auditStreamLength > 0) {
    sinks.push(storeSink(trail, config.auditStreamLength, droppedBy('store')))
  }
  if (config.auditWebhookUrl !== '') {
    const secrets = parseWebhookSecrets(config.auditWebhookSecret)
    sinks.push(webhookSink({ url: config.auditWebhookUrl, secrets }, droppedBy('webhook')))
  }
  return createAuditing(sinks)
}
