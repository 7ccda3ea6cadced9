// The pages of one app: changing it, pausing it, its keys, deleting it and taking that back.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { EnterAppResponseSchema } from '@mozaiks/client/identity';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createApp, PASSWORD, program, see, Stage, until } from './shell.mjs';

const stage = new Stage();

/** @typedef {import('playwright-core').Page} Page */

/**
 * @param {Page} page
 * @param {string} label
 */
const openTab = (page, label) => page.getByRole('navigation', { name: 'This app' }).getByRole('link', { name: label }).click();

/**
 * What of a page is in sight of somebody.
 *
 * @param {Page} page
 */
const main = (page) => page.getByRole('main');

test('an app is renamed and described, and its list shows it', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Garden', id: 'rename-me' });
  await page.getByLabel('Name', { exact: true }).fill('Garden Club');
  await page.getByLabel('Description (optional)').fill('Who waters when.');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Saved').waitFor();
  await see(page, 'Garden Club');
  await page.getByRole('link', { name: 'All apps' }).click();
  await page.getByRole('link', { name: 'Garden Club' }).waitFor();
  await page.getByText('Who waters when.').waitFor();
});

test('a change at an old version is refused, and the newest one is a press away', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Mine', id: 'two-editors' });
  const name = page.getByLabel('Name', { exact: true });
  await name.fill('From the first tab');
  const second = await page.context().newPage();
  await second.goto('/apps/two-editors');
  await second.getByLabel('Name', { exact: true }).fill('From the second tab');
  await second.getByRole('button', { name: 'Save changes' }).click();
  await second.getByText('Saved').waitFor();

  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Somebody changed this in the meantime').waitFor();
  assert.equal(await name.inputValue(), 'From the first tab', 'what was typed is gone');
  await page.getByRole('button', { name: 'Load the newest' }).click();
  await until(() => name.inputValue(), 'From the second tab', 'the name');
  await see(page, 'From the second tab');
});

test('an app is paused with a reason, which its page and its list show, and resumed', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Shop', id: 'pause-me' });
  await page.getByRole('button', { name: 'Pause app' }).click();
  await page.getByText('Say why, so that the others know.').waitFor();
  await page.getByLabel('Reason').fill('Stocktaking until Friday');
  await page.getByRole('button', { name: 'Pause app' }).click();
  await page.getByText('This app is paused').waitFor();
  await page.getByText('Stocktaking until Friday').waitFor();
  await page.getByRole('link', { name: 'All apps' }).click();
  await main(page).getByText('Paused', { exact: true }).waitFor();

  await page.getByRole('link', { name: 'Shop' }).click();
  await page.getByRole('button', { name: 'Resume app' }).click();
  await page.getByRole('button', { name: 'Pause app' }).waitFor();
  assert.equal(await page.getByText('This app is paused').count(), 0);
  await main(page).getByText('Active', { exact: true }).waitFor();
});

test('every page of an app has an address and a title of its own', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Atlas', id: 'atlas' });
  for (const [label, path] of [['People', 'people'], ['Sessions', 'sessions'], ['Signing keys', 'keys'], ['Danger zone', 'danger']]) {
    await openTab(page, String(label));
    await until(() => page.title(), `${label} · Atlas · Mozaiks`, 'the title');
    assert.equal(new URL(page.url()).pathname, `/apps/atlas/${path}`);
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1', 'the focus is not at the new page');
    await page.reload();
    await page.getByRole('navigation', { name: 'This app' }).locator('[aria-current=page]', { hasText: String(label) }).waitFor();
  }
});

test('the next signing key is published at once and signs five minutes later', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Keys', id: 'keys-app' });
  await openTab(page, 'Signing keys');
  const keys = page.getByRole('list', { name: 'Signing keys' }).getByRole('listitem');
  await keys.first().waitFor();
  assert.equal(await keys.count(), 1);
  await keys.getByText('Signs now').waitFor();
  await page.getByRole('button', { name: 'Rotate now' }).click();
  await page.getByText('The next key is published. It signs in 5 minutes.').waitFor();
  await until(() => keys.count(), 2, 'keys');
  await keys.first().getByText('Signs soon').waitFor();
  await keys.last().getByText('Signs now').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Rotate now' }).count(), 0, 'a waiting key can be rotated');
});

test('an app is deleted only by its address typed again, and the deletion is taken back', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Old Shop', id: 'old-shop' });
  await openTab(page, 'Danger zone');
  const confirm = page.getByLabel('Type old-shop to confirm');
  for (const wrong of ['', 'Old Shop', 'old-sho']) {
    await confirm.fill(wrong);
    await page.getByRole('button', { name: 'Delete this app' }).click();
    await page.getByText('Type old-shop to delete the app.').waitFor();
  }
  await confirm.fill('old-shop');
  await confirm.press('Enter');
  await page.getByText('This app is deleted').waitFor();

  await page.getByRole('link', { name: 'All apps' }).click();
  await main(page).getByText('Deleted', { exact: true }).waitFor();
  await page.getByRole('link', { name: 'Old Shop' }).click();
  await page.getByText('This app is deleted').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Save changes' }).count(), 0, 'a deleted app can be edited');

  await openTab(page, 'Danger zone');
  await page.getByRole('button', { name: 'Take back the deletion' }).click();
  await page.getByLabel('Type old-shop to confirm').waitFor();
  assert.equal(await page.getByText('This app is deleted').count(), 0);
});

test('what needs a fresh sign-in leads to one and back, without a session left over', async (t) => {
  t.after(() => stage.node.setClock(0));
  const { page, email } = await stage.member(t);
  await createApp(page, { name: 'Stale', id: 'stale-sign-in' });
  stage.node.setClock(16 * 60);
  await openTab(page, 'Danger zone');
  await page.getByLabel('Type stale-sign-in to confirm').fill('stale-sign-in');
  await page.getByRole('button', { name: 'Delete this app' }).click();
  await page.getByRole('alert').getByText('Sign in again first').waitFor();
  await page.getByRole('alert').getByRole('link', { name: 'Sign in again' }).click();

  await see(page, 'Sign in again');
  assert.equal(await page.getByLabel('E-mail address').inputValue(), email);
  await page.getByLabel('Password', { exact: true }).fill('not this one at all');
  await page.getByRole('button', { name: 'Sign in again' }).click();
  await page.getByText('This is not your password.').waitFor();
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in again' }).click();

  await page.getByLabel('Type stale-sign-in to confirm').fill('stale-sign-in');
  assert.equal(new URL(page.url()).pathname, '/apps/stale-sign-in/danger');
  await page.getByRole('button', { name: 'Delete this app' }).click();
  await page.getByText('This app is deleted').waitFor();
  await page.goto('/me');
  const open = page.getByRole('list', { name: 'Open sessions' }).getByRole('listitem');
  await open.first().waitFor();
  assert.equal(await open.count(), 1);
});

test('what a person may not do is not offered, and explained where they come by its address', async (t) => {
  const { page, email } = await stage.member(t);
  await createApp(page, { name: 'Library', id: 'library' });
  const { home } = await program(stage.node, email);
  assert.equal((await home.apps.listApps({})).apps.length, 1);
  await page.route('**/EnterApp', async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: withPermissions(await answer.body(), ['identity.apps.read']) });
  });

  await page.goto('/apps/library');
  await page.getByText('You may not change this app.').waitFor();
  assert.deepEqual(await page.getByRole('navigation', { name: 'This app' }).getByRole('link').allInnerTexts(), ['Overview']);
  assert.equal(await page.getByRole('button', { name: /Save|Pause/ }).count(), 0);
  for (const [path, words] of [
    ['people', 'You may not see the people of this app.'],
    ['people/new', 'You may not add people to this app.'],
    ['sessions', 'You may not see the sessions of this app.'],
    ['keys', 'You may not see the signing keys of this app.'],
    ['danger', 'You may not delete this app.'],
  ]) {
    await page.goto(`/apps/library/${path}`);
    await page.getByText(String(words)).waitFor();
    assert.equal(await main(page).getByRole('button').count(), 0, path);
  }
});

/**
 * The answer of EnterApp as gRPC-Web carries it, with other permissions.
 *
 * @param {Buffer} body
 * @param {string[]} permissions
 */
function withPermissions(body, permissions) {
  const ends = 5 + body.readUInt32BE(1);
  const seen = fromBinary(EnterAppResponseSchema, body.subarray(5, ends));
  const message = toBinary(EnterAppResponseSchema, create(EnterAppResponseSchema, { ...seen, permissions, roles: ['member'] }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message, body.subarray(ends)]);
}
