// What the document tells the shell, and what the shell makes of anything else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

/** @type {typeof import('../../src/bootstrap')} */
const { readBootstrap } = await load('bootstrap.ts');

/** @param {string} textContent */
function read(textContent) {
  return readBootstrap(/** @type {Document} */ (/** @type {unknown} */ ({ getElementById: () => ({ textContent }) })));
}

test('a page is of the admin address only when it says so', (t) => {
  t.mock.method(console, 'error', () => {});
  assert.deepEqual(read('{"app":"shop","version":"1.2","admin":true}'), { app: 'shop', version: '1.2', admin: true });
  const defaults = { app: 'platform', version: '', admin: false };
  for (const text of ['', '{', 'null', '[]', '"admin"', '{"admin":false}', '{"admin":"true"}', '{"admin":1,"app":1,"version":null}']) {
    assert.deepEqual(read(text), defaults, text);
  }
});
