// Reads modules of the shell as the build does, without a browser.

import { createServer } from 'vite';
import { fileURLToPath } from 'node:url';
import { after } from 'node:test';

const server = await createServer({
  configFile: false,
  root: fileURLToPath(new URL('../../', import.meta.url)),
  appType: 'custom',
  logLevel: 'error',
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
  optimizeDeps: { noDiscovery: true, include: [] },
});
after(() => server.close());

/**
 * @template T
 * @param {string} path path below `src`
 * @returns {Promise<T>}
 */
export async function load(path) {
  return /** @type {T} */ (await server.ssrLoadModule(`/src/${path}`));
}
