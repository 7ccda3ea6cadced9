// The methods of a service as functions. Must not know how a call travels.

import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';

/** How one call is made. */
export interface CallOptions {
  /** Ends the call when it is aborted. */
  signal?: AbortSignal;
  /** Deadline of the call, in milliseconds. */
  timeoutMs?: number;
  /** Sent with this call only. */
  headers?: HeadersInit;
}

/**
 * The client of a service: a function for each method, which gives the answer, or the answers one by one. Methods that
 * take a stream have none, since browsers cannot send one.
 */
export type Client<S extends DescService> = {
  readonly [M in keyof S['method'] as S['method'][M] extends Callable ? M : never]: S['method'][M] extends DescMethodUnary<
    infer I,
    infer O
  >
    ? (ask: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : S['method'][M] extends DescMethodServerStreaming<infer I, infer O>
      ? (ask: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : never;
};

type Callable = DescMethodUnary | DescMethodServerStreaming;

export function clientOf<S extends DescService>(service: S, transport: Transport): Client<S> {
  const methods = service.methods.filter(isCallable).map((method) => [method.localName, callOf(method, transport)]);
  return Object.fromEntries(methods) as Client<S>;
}

function isCallable(method: DescMethod): method is Callable {
  return method.methodKind === 'unary' || method.methodKind === 'server_streaming';
}

function callOf(method: Callable, transport: Transport) {
  return method.methodKind === 'unary'
    ? (ask: MessageInitShape<DescMessage>, options: CallOptions = {}) => one(method, transport, ask, options)
    : (ask: MessageInitShape<DescMessage>, options: CallOptions = {}) => many(method, transport, ask, options);
}

async function one(
  method: DescMethodUnary,
  transport: Transport,
  ask: MessageInitShape<DescMessage>,
  { signal, timeoutMs, headers }: CallOptions,
): Promise<MessageShape<DescMessage>> {
  return (await transport.unary(method, signal, timeoutMs, headers, ask)).message;
}

async function* many(
  method: DescMethodServerStreaming,
  transport: Transport,
  ask: MessageInitShape<DescMessage>,
  { signal, timeoutMs, headers }: CallOptions,
): AsyncIterable<MessageShape<DescMessage>> {
  yield* (await transport.stream(method, signal, timeoutMs, headers, only(ask))).message;
}

async function* only<T>(value: T): AsyncIterable<T> {
  yield value;
}
