// The document and its files as the gateway serves them: policy, integrity, caching.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { addPerson, createApp, MEMBER_ROUTES, settled, Stage, until, VISITOR_ROUTES } from './shell.mjs';

const stage = new Stage();

/** @param {import('playwright-core').BrowserContext} context */
async function watchPolicy(context) {
  /** @type {string[]} */
  const broken = [];
  await context.exposeFunction('policyBroken', (/** @type {string} */ what) => broken.push(what));
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI, sourceFile }) => {
      const { policyBroken } = /** @type {{ policyBroken: (what: string) => void }} */ (/** @type {unknown} */ (window));
      policyBroken(`${effectiveDirective} ${blockedURI} ${sourceFile}`);
    });
  });
  context.on('console', (message) => {
    if (message.type() === 'error' && /content.security.policy/i.test(message.text())) broken.push(message.text());
  });
  return broken;
}

test('no page breaks the content security policy, and the policy is in force', async (t) => {
  const { page } = await stage.member(t);
  const broken = await watchPolicy(page.context());
  await createApp(page, { name: 'Policy', id: 'policy-app' });
  const user = await addPerson(page, 'policy-app', { email: 'pat@example.com' });
  for (const route of MEMBER_ROUTES) {
    await page.goto(route.replace(':app', 'policy-app').replace(':user', user));
    await settled(page);
  }
  const visitor = await stage.browser(t);
  const brokenBefore = await watchPolicy(visitor);
  const tab = await visitor.newPage();
  for (const route of VISITOR_ROUTES) {
    await tab.goto(route);
    await settled(tab);
  }
  assert.deepEqual([...broken, ...brokenBefore], []);

  await page.evaluate(() => {
    const style = document.createElement('style');
    style.append('body { rotate: 1deg }');
    const script = document.createElement('script');
    script.append('window.inlineRan = true');
    document.head.append(style, script);
  });
  const { ran, styled } = await page.evaluate(() => ({ ran: 'inlineRan' in window, styled: getComputedStyle(document.body).rotate }));
  assert.deepEqual([ran, styled], [false, 'none'], 'something inline took effect');
  await until(() => broken.some((what) => what.startsWith('style-src')), true, 'word of the inline style');
  await until(() => broken.some((what) => /^(script-src|require-trusted-types-for)/.test(what)), true, 'word of the inline script');
});

test('every script and style of the document is named by what it holds', async () => {
  const response = await fetch(`${stage.node.gateway}/`, { headers: { accept: 'text/html' } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  const html = await response.text();
  const named = [...html.matchAll(/(?:src|href)="(\/shell\/[^"]+\.(?:js|css))"[^>]*integrity="([^"]+)"/g)];
  assert.ok(named.length >= 4, html);
  for (const [, path, integrity] of named) {
    const file = await fetch(`${stage.node.gateway}${path}`);
    const bytes = Buffer.from(await file.arrayBuffer());
    assert.equal(`sha384-${createHash('sha384').update(bytes).digest('base64')}`, integrity, path);
    assert.match(String(file.headers.get('cache-control')), /immutable/, path);
  }
});

test('the document says that it is the admin address there alone, and is bounded alike', async () => {
  const [open, closed] = await Promise.all(
    [stage.node.gateway, stage.node.admin].map(async (address) => {
      const response = await fetch(`${address}/me`, { headers: { accept: 'text/html', 'x-admin': 'true' } });
      const data = /id="bootstrap">([^<]*)</.exec(await response.text())?.[1];
      const bounds = ['cache-control', 'content-security-policy', 'content-type', 'etag'].map((name) => response.headers.get(name));
      return { data: /** @type {Record<string, unknown>} */ (JSON.parse(String(data))), bounds };
    }),
  );
  assert.deepEqual([open?.data['admin'], closed?.data['admin']], [undefined, true]);
  assert.deepEqual({ ...open?.data, admin: true }, closed?.data);
  assert.deepEqual(open?.bounds, closed?.bounds);
});

test('every file of the build is served with its type, and others are not', async () => {
  const manifest = new URL('../../../dist/manifest.json', import.meta.url);
  /** @type {{ files: { path: string, bytes: number }[] }} */
  const { files } = JSON.parse(readFileSync(manifest, 'utf8'));
  const types = /** @type {const} */ ({ js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', woff2: 'font/woff2' });
  for (const { path, bytes } of files.filter((file) => file.path.startsWith('shell/'))) {
    const response = await fetch(`${stage.node.gateway}/${path}`);
    const body = await response.arrayBuffer();
    assert.deepEqual([response.status, body.byteLength], [200, bytes], path);
    const ending = /** @type {keyof typeof types} */ (path.split('.').at(-1));
    assert.ok(response.headers.get('content-type')?.startsWith(types[ending]), `${path}: ${response.headers.get('content-type')}`);
  }
  const absent = await fetch(`${stage.node.gateway}/shell/nothing-here.js`);
  assert.equal(absent.status, 404);
});

test('the document is not served to programs, nor under /api', async () => {
  const asProgram = await fetch(`${stage.node.gateway}/me`, { headers: { accept: 'application/json' } });
  assert.equal(asProgram.status, 404);
  const underApi = await fetch(`${stage.node.gateway}/api/nothing`, { headers: { accept: 'text/html' } });
  assert.equal(underApi.status, 404);
});
