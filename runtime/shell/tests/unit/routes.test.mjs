// Patterns of paths.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

/** @type {typeof import('../../src/routes')} */
const { build, match, near, route } = await load('routes.ts');
const ROUTES = [
  route('/', 'Home', 'members', () => 'home'),
  route('/apps/:app', 'App', 'members', ({ app }) => `app ${app}`),
  route('/apps/new', 'New app', 'members', () => 'new'),
  route('/apps/:app/users/:user', 'Person', 'members', ({ app, user }) => `${user} of ${app}`),
  route('/login', 'Sign in', 'visitors', () => 'login'),
];

/** @param {string} path */
function pageAt(path) {
  const found = match(ROUTES, path);
  return found?.route.page(found.params);
}

test('a path finds the route that fits, the more specific one first', () => {
  const cases = [
    ['/', 'home'],
    ['/apps/new', 'new'],
    ['/apps/new/', 'new'],
    ['/apps/shop', 'app shop'],
    ['/apps/a%20b', 'app a b'],
    ['/apps/shop/users/ann', 'ann of shop'],
    ['/apps', undefined],
    ['/apps/shop/users', undefined],
    ['/apps/%E0%A4%A', undefined],
    ['/Login', undefined],
  ];
  for (const [path, page] of cases) assert.equal(pageAt(String(path)), page, path);
});

test('a pattern is filled, and what is filled in cannot leave its segment', () => {
  assert.equal(build('/apps/:app', { app: 'shop' }), '/apps/shop');
  assert.equal(build('/apps/:app/users/:user', { app: 'a/b', user: '?' }), '/apps/a%2Fb/users/%3F');
});

test('a path that leads nowhere is answered with the ones that look like it', () => {
  const suggested = (/** @type {string} */ path) => near(ROUTES, path).map(({ pattern }) => pattern);
  assert.deepEqual(suggested('/logn'), ['/login']);
  assert.deepEqual(suggested('/app/new'), ['/apps/new']);
  assert.deepEqual(suggested('/something/else/altogether'), []);
});
