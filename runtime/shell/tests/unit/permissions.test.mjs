// Permissions in words.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

/** @type {typeof import('../../src/permissions')} */
const { covers, inWords } = await load('permissions.ts');

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

test('a held pattern covers what lies below it and nothing beside it', () => {
  const cases = /** @type {const} */ ([
    [['identity.users.read'], 'identity.users.read', true],
    [['identity.users.*'], 'identity.users.read', true],
    [['identity.*'], 'identity.users.read', true],
    [['*'], 'operator.apps', true],
    [['identity.apps.read', 'identity.users.*'], 'identity.users.write', true],
    [[], 'identity.users.read', false],
    [['identity.users'], 'identity.users.read', false],
    [['identity.user.*'], 'identity.users.read', false],
    [['identity.users*'], 'identity.users.read', false],
    [['identity.users.read'], 'identity.users', false],
  ]);
  for (const [held, permission, covered] of cases) assert.equal(covers(held, permission), covered, `${held.join(' ')}: ${permission}`);
});
