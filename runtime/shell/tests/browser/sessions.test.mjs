// Sessions over tabs, browsers and failures of the network.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createApp, PASSWORD, see, signIn, signOut, Stage, until } from './shell.mjs';

const stage = new Stage();

/** What the gateway answers to an access token whose time is over. */
const EXPIRED = {
  status: 200,
  contentType: 'application/grpc-web+proto',
  headers: { 'grpc-status': '16', 'grpc-message': 'over', 'grpc-status-details-bin': statusOf('TOKEN_EXPIRED') },
  body: '',
};

/**
 * A `google.rpc.Status` with one `ErrorInfo`, as the header carries it.
 *
 * @param {string} reason
 */
function statusOf(reason) {
  const text = (/** @type {number} */ field, /** @type {Buffer | string} */ value) =>
    Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), Buffer.from(value)]);
  const any = Buffer.concat([text(1, 'type.googleapis.com/google.rpc.ErrorInfo'), text(2, text(1, reason))]);
  return Buffer.concat([Buffer.from([8, 16]), text(3, any)]).toString('base64');
}

test('a second tab is signed in without asking, and sees the sign-out of the first', async (t) => {
  const { page } = await stage.member(t);
  const second = await page.context().newPage();
  await second.goto('/me');
  await see(second, 'Profile');
  await signOut(page);
  await see(second, 'Sign in');
  await second.getByText('You signed out in another tab.').waitFor();
});

test('signing in in one tab signs in the other', async (t) => {
  const { page, email } = await stage.member(t);
  await signOut(page);
  const second = await page.context().newPage();
  await second.goto('/me');
  await see(second, 'Sign in');
  await page.goto('/login');
  await signIn(page, email);
  await see(page, 'Your apps');
  await see(second, 'Profile');
});

test('no token is kept where it outlives the tab, and the cookie is out of reach of scripts', async (t) => {
  const { page } = await stage.member(t);
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie);
  assert.equal(kept, '{}');
  const cookies = await page.context().cookies();
  const kind = { httpOnly: true, sameSite: 'Lax', path: '/' };
  assert.deepEqual(
    cookies
      .map(({ name, httpOnly, sameSite, path }) => ({ name: name.replace('__Host-', ''), httpOnly, sameSite, path }))
      .sort((one, other) => one.name.localeCompare(other.name)),
    [
      { name: 'mozaiks', ...kind },
      { name: 'mozaiks-device', ...kind },
    ],
  );
});

test('a session ended from another browser is over at the next call, with a notice and a way back', async (t) => {
  const { page, email } = await stage.member(t);
  const other = await stage.tab(t, { userAgent: 'Mozilla/5.0 (Macintosh) Gecko/20100101 Firefox/150.0' });
  await other.goto('/me');
  await signIn(other, email);
  await see(other, 'Profile');
  await other.getByText('This session').waitFor();
  const rows = other.getByRole('list', { name: 'Open sessions' }).getByRole('listitem');
  assert.equal(await rows.count(), 2);

  await other.getByRole('button', { name: 'End session of' }).click();
  await other.getByText('the session has ended').waitFor();
  await until(() => rows.count(), 1, 'open sessions');

  await page.getByRole('navigation').getByRole('link', { name: 'Profile' }).click();
  await see(page, 'Sign in');
  await page.getByText('Your session ended.').waitFor();
  await signIn(page, email);
  await see(page, 'Profile');
});

test('a session that ended elsewhere is over in every tab of the browser, whatever page it shows', async (t) => {
  const { page, email } = await stage.member(t);
  await createApp(page, { name: 'Open Tab', id: 'open-tab' });
  const second = await page.context().newPage();
  await second.goto('/me');
  await see(second, 'Profile');
  const other = await stage.tab(t);
  await other.goto('/me');
  await signIn(other, email);
  await other.getByRole('button', { name: 'End session of' }).click();
  await other.getByText('the session has ended').waitFor();

  // A call in an entered app finds out as well as one at home.
  await page.getByLabel('Reason').fill('Nobody is here');
  await page.getByRole('button', { name: 'Pause app' }).click();
  for (const tab of [page, second]) {
    await see(tab, 'Sign in');
    await tab.getByText('Your session ended.').waitFor();
  }
  await signIn(page, email);
  await page.getByRole('button', { name: 'Pause app' }).waitFor();
  await see(second, 'Profile');
});

test('a changed password ends the other browsers, and no tab of this one notices', async (t) => {
  const { page, email } = await stage.member(t);
  const other = await stage.tab(t);
  await other.goto('/me');
  await signIn(other, email);
  await see(other, 'Profile');
  const second = await page.context().newPage();
  await second.goto('/');
  await see(second, 'Your apps');

  await page.goto('/me');
  await changePassword(page, 'not this one at all', 'four copper pans');
  await page.getByText('This is not your password.').waitFor();
  await changePassword(page, PASSWORD, 'short');
  await page.getByText('This password is too easy to guess').waitFor();
  await changePassword(page, PASSWORD, 'four copper pans');
  await page.getByText('Your password is changed.').waitFor();
  const open = page.getByRole('list', { name: 'Open sessions' }).getByRole('listitem');
  await until(() => open.count(), 1, 'open sessions');

  await second.getByRole('navigation').getByRole('link', { name: 'Profile' }).click();
  await see(second, 'Profile');
  await second.getByLabel('Name to show').waitFor();
  await page.reload();
  await see(page, 'Profile');
  await other.getByRole('navigation').getByRole('link', { name: 'Apps', exact: true }).click();
  await other.getByText('Your session ended.').waitFor();
  await signIn(other, email);
  await other.getByText('E-mail address or password is wrong').waitFor();
  await signIn(other, email, 'four copper pans');
  await see(other, 'Your apps');
});

test('all other sessions are ended at once, and this browser stays signed in', async (t) => {
  const { page, email } = await stage.member(t);
  const others = await Promise.all([stage.tab(t), stage.tab(t)]);
  for (const other of others) {
    await other.goto('/me');
    await signIn(other, email);
    await see(other, 'Profile');
  }
  await page.goto('/me');
  const open = page.getByRole('list', { name: 'Open sessions' }).getByRole('listitem');
  await until(() => open.count(), 3, 'open sessions');
  await page.getByRole('button', { name: 'End all other sessions' }).click();
  await until(() => open.count(), 1, 'open sessions');
  await open.getByText('This session').waitFor();
  await page.reload();
  await see(page, 'Profile');
  for (const other of others) {
    await other.getByRole('navigation').getByRole('link', { name: 'Apps', exact: true }).click();
    await other.getByText('Your session ended.').waitFor();
  }
});

/**
 * @param {import('playwright-core').Page} page
 * @param {string} current
 * @param {string} next
 */
async function changePassword(page, current, next) {
  await page.getByLabel('Present password').fill(current);
  await page.getByLabel('New password').fill(next);
  await page.getByRole('button', { name: 'Change password' }).click();
}

test('calls that are refused together renew the access token once, and nobody notices', async (t) => {
  const { page } = await stage.member(t);
  let renewals = 0;
  page.on('request', (request) => {
    if (request.url().endsWith('/RefreshSession')) renewals += 1;
  });
  for (const method of ['GetMe', 'ListMySessions']) {
    await page.route(`**/${method}`, (route) => route.fulfill(EXPIRED), { times: 1 });
  }
  await page.goto('/me');
  await page.getByText('This session').waitFor();
  await page.getByLabel('Name to show').waitFor();
  // One takes the session up again, one is for both calls that were refused.
  assert.equal(renewals, 2);
  assert.equal(await page.getByRole('alert').count(), 0);
});

test('a server that cannot be reached is told with the id of the call, and trying again helps', async (t) => {
  const { page } = await stage.member(t);
  await page.getByText('No apps yet').waitFor();
  await page.route('**/mozaiks.identity.v1.AppsService/ListApps', (route) => route.abort('connectionreset'));
  await page.getByRole('navigation').getByRole('link', { name: 'Profile' }).click();
  await see(page, 'Profile');
  await page.getByRole('navigation').getByRole('link', { name: 'Apps' }).click();
  const alert = page.getByRole('alert');
  await alert.getByText('The server cannot be reached').waitFor();
  assert.match(await alert.innerText(), /UNREACHABLE · Call [0-9a-f-]{36}/);
  await page.unroute('**/mozaiks.identity.v1.AppsService/ListApps');
  await alert.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('No apps yet').waitFor();
});

test('a browser without a network says so, until it has one', async (t) => {
  const { page } = await stage.member(t);
  await page.context().setOffline(true);
  const banner = page.getByText('You are offline.');
  await banner.waitFor();
  await page.context().setOffline(false);
  await banner.waitFor({ state: 'hidden' });
});

test('without the cookie a reload finds nobody signed in, and nothing is said about a session', async (t) => {
  const { page } = await stage.member(t);
  await page.context().clearCookies();
  await page.goto('/me');
  await see(page, 'Sign in');
  assert.equal(await page.getByText('Your session ended').count(), 0);
});
