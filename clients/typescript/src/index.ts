// The entry of the client: one way to the gateway, and the clients made on it. Services are in sub-paths of their own.

import type { DescService } from '@bufbuild/protobuf';
import { type Client, clientOf } from './client.js';
import { type MozaiksOptions, openTransport } from './transport.js';

export type { CallOptions, Client } from './client.js';
export { type ClientReason, Code, type FieldViolation, MozaiksError } from './error.js';
export { pages } from './pages.js';
export type { MozaiksOptions } from './transport.js';
export { VERSION } from './version.js';

/** A way to the gateway, with the clients made on it. */
export interface Mozaiks {
  /** The client of one service, made when it is first asked for. */
  service<S extends DescService>(service: S): Client<S>;
}

/** Opens a way to the gateway. Makes no call by itself. */
export function createMozaiks(options: MozaiksOptions): Mozaiks {
  const transport = openTransport(options);
  const clients = new Map<DescService, Client<DescService>>();
  return {
    service<S extends DescService>(service: S): Client<S> {
      let client = clients.get(service);
      if (client === undefined) {
        client = clientOf<DescService>(service, transport);
        clients.set(service, client);
      }
      return client as Client<S>;
    },
  };
}
