// Times, with the present given.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

/** @type {typeof import('../../src/clock')} */
const { fromNow, tokenEnd } = await load('clock.ts');
/** @type {typeof import('@bufbuild/protobuf/wkt')} */
const { timestampFromMs } = await load('../../../node_modules/@bufbuild/protobuf/dist/esm/wkt/index.js');
const NOW = Date.UTC(2026, 0, 15, 12);
const MINUTE = 60_000;

test('a token ends when the server says, unless the clock of this browser is wrong', () => {
  const ends = (/** @type {number} */ away) => tokenEnd(timestampFromMs(NOW + away), NOW) - NOW;
  assert.equal(ends(5 * MINUTE), 5 * MINUTE);
  assert.equal(ends(-60 * MINUTE), MINUTE);
  assert.equal(ends(600 * MINUTE), 15 * MINUTE);
});

test('times are told in the largest unit that fits', () => {
  const cases = /** @type {const} */ ([
    [0, 'just now'],
    [-59_000, 'just now'],
    [-5 * MINUTE, '5 minutes ago'],
    [90 * MINUTE, 'in 2 hours'],
    [-24 * 60 * MINUTE, 'yesterday'],
    [30 * 24 * 60 * MINUTE, 'in 4 weeks'],
  ]);
  for (const [away, words] of cases) assert.equal(fromNow(NOW + away, NOW), words);
});
