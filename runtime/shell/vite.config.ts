// How the shell becomes files under `runtime/dist`: hashed names below `shell/`, one template `index.html`.

import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const { version } = JSON.parse(readFileSync(here('package.json'), 'utf8')) as { version: string };
const fonts = dirname(fileURLToPath(import.meta.resolve('@fontsource-variable/inter/files/inter-latin-wght-normal.woff2')));

/**
 * The theme is set by a classic script before the first paint, and the typeface is asked for at once. Neither can be
 * said in the template, since both have hashed names.
 */
function firstPaint(): Plugin {
  return {
    name: 'first-paint',
    apply: 'build',
    buildStart() {
      this.emitFile({ type: 'asset', name: 'theme.js', source: readFileSync(here('src/theme-boot.js')) });
    },
    transformIndexHtml: {
      order: 'post',
      handler(html, { bundle }) {
        const built = (name: string) => {
          const file = Object.values(bundle ?? {}).find((output) => output.type === 'asset' && output.names.includes(name));
          if (file === undefined) throw new Error(`the build holds no ${name}`);
          return `/${file.fileName}`;
        };
        const font = `<link rel="preload" as="font" type="font/woff2" crossorigin href="${built('inter-latin-wght-normal.woff2')}">`;
        return html.replace('<!--first-paint-->', `<script src="${built('theme.js')}"></script>\n    ${font}`);
      },
    },
  };
}

export default defineConfig({
  root: here('.'),
  base: '/',
  define: { __SHELL_VERSION__: JSON.stringify(version) },
  resolve: { alias: { '@inter': fonts } },
  plugins: [firstPaint()],
  build: {
    outDir: here('../dist'),
    emptyOutDir: true,
    assetsDir: 'shell',
    // Everything is a file of its own: the content security policy allows no data: but pictures.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: ['chrome123', 'firefox120', 'safari17.5'],
    rolldownOptions: {
      output: {
        entryFileNames: 'shell/[name]-[hash].js',
        chunkFileNames: 'shell/[name]-[hash].js',
        assetFileNames: 'shell/[name]-[hash][extname]',
        codeSplitting: {
          groups: [
            { name: 'react', test: /node_modules[\\/](react|react-dom|scheduler)[\\/]/ },
            { name: 'client', test: /node_modules[\\/]@(bufbuild|connectrpc)[\\/]|clients[\\/]typescript[\\/]/ },
          ],
        },
      },
    },
  },
});
