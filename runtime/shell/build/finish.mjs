// After Vite: integrity of every script and style in the document, the list of files, and the size budgets.
// Must not change any file but `index.html`, and writes nothing that differs between two builds of the same sources.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
const kB = 1000;
const SHELL_BUDGET = 150 * kB;
// What a page of somebody else loads; five per cent above are let through.
const CLIENT_BUDGETS = {
  'client core and one service': { budget: 34 * kB * 1.05, imports: 'AuthService' },
  'client core and identity, eight services': { budget: 40 * kB * 1.05, imports: 'identity' },
};

/** @param {Buffer} bytes */
const integrityOf = (bytes) => `sha384-${createHash('sha384').update(bytes).digest('base64')}`;

/** @param {Buffer | string} bytes */
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;

/** Names every script and style sheet of the document by what it holds, so that a changed one is refused. */
function sealDocument() {
  const file = join(dist, 'index.html');
  const sealed = readFileSync(file, 'utf8').replace(/<(script|link)\b[^>]*>/g, (tag) => {
    const path = /\b(?:src|href)="\/(shell\/[^"]+\.(?:js|css))"/.exec(tag)?.[1];
    return path === undefined ? tag : tag.replace(/>$/, ` integrity="${integrityOf(readFileSync(join(dist, path)))}">`);
  });
  writeFileSync(file, sealed);
}

function listFiles() {
  const paths = readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'manifest.json')
    .map((entry) => join(entry.parentPath, entry.name).slice(dist.length).replaceAll('\\', '/'))
    .sort();
  return paths.map((path) => ({ path, bytes: readFileSync(join(dist, path)) }));
}

/**
 * The client with its core and some of the identity services, as a page of its own would load it.
 *
 * @param {string} imports
 */
async function clientSize(imports) {
  const entry = 'client-entry';
  const source = `
    import { createMozaiks, pages, MozaiksError } from '@mozaiks/client';
    import { ${imports} } from '@mozaiks/client/identity';
    globalThis.kept = [createMozaiks, pages, MozaiksError, ${imports}];`;
  const built = await build({
    configFile: false,
    logLevel: 'error',
    build: { write: false, minify: true, modulePreload: { polyfill: false }, rolldownOptions: { input: entry } },
    plugins: [
      {
        name: entry,
        resolveId: (id) => (id === entry ? id : undefined),
        load: (id) => (id === entry ? source : undefined),
      },
    ],
  });
  if (!('output' in built)) throw new Error('the client was not built');
  return built.output.reduce((sum, part) => sum + (part.type === 'chunk' ? gzipped(part.code) : 0), 0);
}

/**
 * @param {string} name
 * @param {number} size
 * @param {number} budget
 */
function hold(name, size, budget) {
  console.log(`${name}: ${(size / kB).toFixed(1)} kB gzip of ${(budget / kB).toFixed(1)} kB`);
  if (size <= budget) return;
  console.error(`${name} is over its budget`);
  process.exitCode = 1;
}

sealDocument();
const files = listFiles();
const manifest = files.map(({ path, bytes }) => ({ path, bytes: bytes.length, integrity: integrityOf(bytes) }));
writeFileSync(join(dist, 'manifest.json'), `${JSON.stringify({ files: manifest }, null, 2)}\n`);

for (const { path, bytes } of files) console.log(`${(gzipped(bytes) / kB).toFixed(1).padStart(7)} kB gzip  ${path}`);
const code = files.filter(({ path }) => /\.(html|js|css|svg)$/.test(path));
hold('shell and React', code.reduce((sum, { bytes }) => sum + gzipped(bytes), 0), SHELL_BUDGET);
for (const [name, { budget, imports }] of Object.entries(CLIENT_BUDGETS)) hold(name, await clientSize(imports), budget);
