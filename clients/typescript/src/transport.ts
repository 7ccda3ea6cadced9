// One call from message to answer: headers, deadline, one shared renewal of the credential. Must not know any service.

import type { DescMessage, DescMethodStreaming, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, type StreamResponse, type Transport, type UnaryResponse } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-web';
import { MozaiksError } from './error.js';
import { VERSION } from './version.js';

/** How calls are made. */
export interface MozaiksOptions {
  /** Origin of the gateway, such as `https://example.com`. */
  baseUrl: string;
  /** Gives the access token of the next call, or nothing for a call without one. May wait, may fail. */
  token?: () => string | undefined | Promise<string | undefined>;
  /** Makes `token` give a newer one. Called once for any number of calls that fail meanwhile; its failure is theirs. */
  refresh?: () => Promise<unknown>;
  /** The wire. gRPC-Web is the one there is. */
  protocol?: 'grpc-web';
  /** Lets the gateway keep the refresh token in an HttpOnly cookie. Browsers only. */
  session?: 'cookie';
  /** Sent with every call. */
  headers?: HeadersInit;
  /** Name and version of the calling program. */
  client?: string;
  /** Deadline of a call that names none, in milliseconds. */
  timeoutMs?: number;
}

// The gateway gives a call without a deadline ten seconds; the rest is for the way there and back.
const DEFAULT_TIMEOUT_MS = 12_000;

// With these the credential is worn out, and a newer one may help. Any other refusal stands.
const RENEWABLE: ReadonlySet<string> = new Set(['TOKEN_EXPIRED', 'TOKEN_REVOKED', 'SESSION_ENDED']);

/** Opens the way to the gateway. Errors of its calls are {@link MozaiksError}. */
export function openTransport(options: MozaiksOptions): Transport {
  const wire = createGrpcWebTransport({ baseUrl: options.baseUrl, fetch: withCredentials(options) });
  const renewal = options.refresh && new Renewal(options.refresh);

  async function attempt<T>(extra: HeadersInit | undefined, run: (headers: Headers) => Promise<T>): Promise<T> {
    const callId = crypto.randomUUID();
    try {
      return await run(await callHeaders(options, callId, extra));
    } catch (cause) {
      throw MozaiksError.from(cause, callId);
    }
  }

  async function withRenewal<T>(
    timeoutMs: number | undefined,
    extra: HeadersInit | undefined,
    run: (headers: Headers, leftMs: number) => Promise<T>,
  ): Promise<T> {
    const ends = Date.now() + (timeoutMs ?? options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const once = () => attempt(extra, (headers) => run(headers, left(ends)));
    const age = renewal?.count ?? 0;
    try {
      return await once();
    } catch (failed) {
      if (renewal === undefined || !(failed instanceof MozaiksError) || !isRenewable(failed)) throw failed;
      await renewal.since(age);
      return await once();
    }
  }

  return {
    unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      input: MessageInitShape<I>,
    ): Promise<UnaryResponse<I, O>> {
      return withRenewal(timeoutMs, header, (headers, leftMs) => wire.unary(method, signal, leftMs, headers, input));
    },
    async stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodStreaming<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      input: AsyncIterable<MessageInitShape<I>>,
    ): Promise<StreamResponse<I, O>> {
      // A stream lives until its signal or the server ends it, so only a deadline that was asked for is set.
      const opened = await attempt(header, (headers) => wire.stream(method, signal, timeoutMs ?? 0, headers, input));
      return { ...opened, message: translated(opened.message) };
    },
  };
}

function isRenewable(failed: MozaiksError): boolean {
  return failed.code === Code.Unauthenticated && RENEWABLE.has(failed.reason);
}

/** Renews the credential, once for all calls that were made with the same one. */
class Renewal {
  /** How often the credential was renewed. */
  count = 0;
  readonly #run: () => Promise<unknown>;
  #underWay: Promise<void> | undefined;

  constructor(run: () => Promise<unknown>) {
    this.#run = run;
  }

  /** Renews unless that was done since `count` had the given value. */
  async since(count: number): Promise<void> {
    if (this.count !== count) return;
    this.#underWay ??= this.#renew().finally(() => {
      this.#underWay = undefined;
    });
    await this.#underWay;
  }

  async #renew(): Promise<void> {
    try {
      await this.#run();
      this.count += 1;
    } catch (cause) {
      throw MozaiksError.from(cause);
    }
  }
}

async function callHeaders(options: MozaiksOptions, callId: string, extra: HeadersInit | undefined): Promise<Headers> {
  const headers = new Headers(options.headers);
  headers.set('x-mozaiks-client', options.client ?? `mozaiks-typescript/${VERSION}`);
  headers.set('x-request-id', callId);
  if (options.session === 'cookie') headers.set('x-mozaiks-session', 'cookie');
  new Headers(extra).forEach((value, name) => headers.set(name, value));
  const token = headers.has('authorization') ? undefined : await options.token?.();
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  return headers;
}

function withCredentials(options: MozaiksOptions): typeof globalThis.fetch {
  const credentials = options.session === 'cookie' ? cookieReach(options.baseUrl) : 'omit';
  return (input, init) => fetch(input, { ...init, credentials });
}

function cookieReach(baseUrl: string): RequestCredentials {
  const here: Location | undefined = globalThis.location;
  return here === undefined || new URL(baseUrl, here.href).origin === here.origin ? 'same-origin' : 'include';
}

function left(ends: number): number {
  const ms = ends - Date.now();
  if (ms <= 0) throw new ConnectError('the deadline passed before the call was made', Code.DeadlineExceeded);
  return ms;
}

async function* translated<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (cause) {
    throw MozaiksError.from(cause);
  }
}
