// Permissions in words.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

/** @type {typeof import('../../src/permissions')} */
const { inWords } = await load('permissions.ts');

test('permissions on one thing are one line, and none is lost', () => {
  const held = ['identity.users.write', 'identity.users.read', 'identity.api_keys.*', 'identity.impersonate', 'shop.stock.count_all', 'billing.*', '*'];
  const grants = inWords(held);
  assert.deepEqual(grants.map(({ what, may }) => `${what}: ${may}`), [
    'API keys: everything',
    'Billing: everything',
    'Everything: everything',
    'Other people’s sessions: sign in as somebody else',
    'People: change, see',
    'Stock: count all',
  ]);
  assert.deepEqual(grants.flatMap(({ exact }) => exact).sort(), [...held].sort());
});
