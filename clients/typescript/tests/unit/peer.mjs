// A gRPC-Web server of somebody else's make, which answers as a test wishes.

import { createConnectRouter } from '@connectrpc/connect';
import { createFetchHandler } from '@connectrpc/connect/protocol';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';

/**
 * @param {(router: import('@connectrpc/connect').ConnectRouter) => void} routes
 * @returns {Promise<{ baseUrl: string, seen: import('node:http').IncomingHttpHeaders[], close: () => void }>}
 */
export async function startPeer(routes) {
  const router = createConnectRouter({ connect: false, grpc: false, grpcWeb: true });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, createFetchHandler(handler)]));
  /** @type {import('node:http').IncomingHttpHeaders[]} */
  const seen = [];
  const server = createServer(async (request, response) => {
    seen.push(request.headers);
    const answer = await handlers.get(request.url ?? '')?.(
      new Request(`http://peer${request.url}`, {
        method: 'POST',
        headers: /** @type {Record<string, string>} */ (request.headers),
        body: await buffer(request),
      }),
    );
    response.writeHead(answer?.status ?? 404, Object.fromEntries(answer?.headers ?? []));
    response.end(answer && Buffer.from(await answer.arrayBuffer()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { baseUrl: `http://127.0.0.1:${port}`, seen, close };
}
