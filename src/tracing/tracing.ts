import {
  type Attributes,
  type Context,
  context,
  ProxyTracerProvider,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { VERSION } from '../version.ts'

/** What is told of one request. Names are those of OpenTelemetry's semantic conventions, where these have one. */
export interface RequestSpan {
  /** Runs the handler, and what it calls, within the span. */
  within(work: () => void): void
  /** @param status of the answer. */
  end(name: string, status: number, attributes: Attributes): void
}

/** The one way to OpenTelemetry; there is none where nobody listens. */
export interface Tracing {
  /** @param headers in which the trace that this belongs to may be named (W3C Trace Context), if that may count. */
  request(method: string, headers: Readonly<Record<string, unknown>> | undefined): RequestSpan
  /** A step of a request; outside of one it is no span. */
  step<T>(name: string, attributes: Attributes, work: () => Promise<T>): Promise<T>
}

/**
 * The tracing that an OpenTelemetry SDK, loaded before us with `node --import`, has registered.
 *
 * @returns `undefined` when there is none: then nothing of this is on anybody's way.
 */
export function findTracing(): Tracing | undefined {
  const provider = trace.getTracerProvider()
  const isRegistered = !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer('pawl')
  if (!isRegistered) return undefined
  const tracer = provider.getTracer('pawl', VERSION)

  return {
    request(method, headers) {
      const parent: Context = headers ? propagation.extract(ROOT_CONTEXT, headers) : ROOT_CONTEXT
      const span = tracer.startSpan(method, { kind: SpanKind.SERVER }, parent)
      return {
        within: (work) => context.with(trace.setSpan(parent, span), work),
        end(name, status, attributes) {
          span.updateName(name)
          span.setAttributes({ ...attributes, 'http.response.status_code': status })
          // The conventions: an answer from 400 on is the client's error, and none of the server's span.
          if (status >= 500) fail(span, String(status))
          span.end()
        },
      }
    },

    async step(name, attributes, work) {
      if (!trace.getActiveSpan()) return work()
      const span = tracer.startSpan(name, { attributes })
      try {
        return await context.with(trace.setSpan(context.active(), span), work)
      } catch (error) {
        // Its name alone: a message may say more than a trace should.
        fail(span, error instanceof Error ? error.name : 'unknown')
        throw error
      } finally {
        span.end()
      }
    },
  }
}

function fail(span: Span, type: string): void {
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR })
}
