// What a failed call throws: the details of a `google.rpc.Status`, decoded once. Must not decide what to do about it.

import { Code, ConnectError } from '@connectrpc/connect';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from '../gen/google/rpc/error_details_pb.js';

export { Code };

/** One field of the request that was refused. */
export interface FieldViolation {
  /** Path of the field in snake case, such as `user.profile.display_name`. */
  readonly field: string;
  /** Why it was refused, for the person who filled it in. */
  readonly description: string;
  /** The machine's word for it, or empty. */
  readonly reason: string;
}

/** Reasons this package gives when no answer of the server carries one. */
export type ClientReason = 'UNREACHABLE' | 'CLIENT_TIMEOUT' | 'CLIENT_ABORTED' | 'UNKNOWN';

/** A failed call. Every call of every client throws this and nothing else. */
export class MozaiksError extends Error {
  override readonly name = 'MozaiksError';
  /** The machine's word for the failure, such as `ETAG_STALE`, or a {@link ClientReason}. */
  readonly reason: string;
  /** Names this one call in the server's log. */
  readonly callId: string;
  /** The gRPC code. */
  readonly code: Code;
  /** What the server wishes the caller to wait before a repeat, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The fields that were refused; empty unless the request itself was at fault. */
  readonly fieldViolations: readonly FieldViolation[];
  /** What the reason is about, such as the limit that was met. */
  readonly details: Readonly<Record<string, string>>;

  constructor(init: {
    reason: string;
    message: string;
    code: Code;
    callId: string;
    retryAfterMs?: number | undefined;
    fieldViolations?: readonly FieldViolation[];
    details?: Readonly<Record<string, string>>;
    cause?: unknown;
  }) {
    super(init.message, { cause: init.cause });
    this.reason = init.reason;
    this.code = init.code;
    this.callId = init.callId;
    this.retryAfterMs = init.retryAfterMs;
    this.fieldViolations = init.fieldViolations ?? [];
    this.details = init.details ?? {};
  }

  /** Turns whatever a transport threw into this error; `callId` is the id that was sent. */
  static from(cause: unknown, callId = ''): MozaiksError {
    if (cause instanceof MozaiksError) return cause;
    const failed = ConnectError.from(cause);
    const info = failed.findDetails(ErrorInfoSchema)[0];
    const code = info === undefined && lostOnTheWay(failed) ? Code.Unavailable : failed.code;
    return new MozaiksError({
      reason: info?.reason || withoutInfo(code),
      message: failed.rawMessage,
      code,
      callId: failed.findDetails(RequestInfoSchema)[0]?.requestId || failed.metadata.get('x-request-id') || callId,
      retryAfterMs: retryAfter(failed),
      fieldViolations: failed.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations),
      details: info?.metadata ?? {},
      cause,
    });
  }
}

/** fetch() reports a refused, reset or blocked connection as a bare TypeError. */
function lostOnTheWay(failed: ConnectError): boolean {
  return failed.code === Code.Unknown && failed.cause instanceof TypeError;
}

function withoutInfo(code: Code): ClientReason {
  switch (code) {
    case Code.Unavailable:
      return 'UNREACHABLE';
    case Code.DeadlineExceeded:
      return 'CLIENT_TIMEOUT';
    case Code.Canceled:
      return 'CLIENT_ABORTED';
    default:
      return 'UNKNOWN';
  }
}

function retryAfter(failed: ConnectError): number | undefined {
  const delay = failed.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? undefined : Number(delay.seconds) * 1000 + Math.ceil(delay.nanos / 1e6);
}
