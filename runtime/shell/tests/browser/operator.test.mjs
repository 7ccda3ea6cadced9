// The pages of operators: on the admin address they work, on the public one they say where they are.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AXE, createApp, fillRegistration, see, settled, signIn, Stage } from './shell.mjs';

const stage = new Stage();

/**
 * A tab in which an operator is signed in at the public address.
 *
 * @param {import('node:test').TestContext} t
 */
async function operator(t) {
  const page = await stage.tab(t);
  const email = stage.address();
  await page.goto(await stage.node.invite());
  await page.getByText('You were invited').waitFor();
  await fillRegistration(page, email);
  await see(page, 'Your apps');
  return { page, email };
}

test('an operator sees the installation and all its apps on the admin address', async (t) => {
  const member = await stage.member(t);
  await createApp(member.page, { name: 'Somebody’s App', id: 'somebodys-app' });
  const { page } = await operator(t);
  await page.goto(`${stage.node.admin}/`);
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Operation' }).click();
  await see(page, 'Installation');
  await page.getByText(stage.node.gateway, { exact: true }).waitFor();
  await page.getByText('Everybody may make an account.').waitFor();
  await page.getByRole('navigation', { name: 'Operation' }).getByRole('link', { name: 'All apps' }).click();
  await see(page, 'All apps');
  const row = page.getByRole('list', { name: 'Apps' }).getByRole('listitem').filter({ hasText: 'somebodys-app' });
  await row.getByText('Somebody’s App').waitFor();
  await row.getByText('Active').waitFor();
});

test('on the public address an operator is told where these pages are', async (t) => {
  const { page, email } = await operator(t);
  await page.getByRole('banner').getByText(email).first().waitFor();
  assert.equal(await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Operation' }).count(), 0);
  /** @type {string[]} */
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  for (const path of ['/operator', '/operator/apps']) {
    await page.goto(path);
    await page.getByText('Operators’ pages are on the admin address').waitFor();
  }
  assert.deepEqual(asked.filter((url) => /Installation|ListAllApps/.test(url)), [], 'it was tried all the same');
  await page.goto('/operater');
  await see(page, 'Page not found');
  assert.equal(await page.getByRole('link', { name: 'Installation' }).count(), 0);
  await page.goto(`${stage.node.admin}/operater`);
  await page.getByRole('link', { name: 'Installation' }).waitFor();
});

test('whoever is no operator finds no way to these pages, and nothing on them', async (t) => {
  const { page, email } = await stage.member(t);
  await page.getByRole('banner').getByText(email).first().waitFor();
  for (const path of ['/operator', '/operator/apps']) {
    await page.goto(stage.node.admin + path);
    await page.getByText('These pages are for operators').waitFor();
    assert.equal(await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Operation' }).count(), 0);
  }
});

test('one signs in at the admin address too', async (t) => {
  const { email } = await operator(t);
  const page = await stage.tab(t);
  await page.goto(`${stage.node.admin}/operator`);
  await signIn(page, email);
  await see(page, 'Installation');
  assert.equal(new URL(page.url()).origin, stage.node.admin);
});

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  test(`axe finds nothing on the pages of operators in ${colorScheme}, and they fit 320 pixels`, async (t) => {
    const { page } = await operator(t);
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width: 320, height: 640 });
    await page.context().addInitScript({ path: AXE });
    for (const path of ['/operator', '/operator/apps']) {
      await page.goto(stage.node.admin + path);
      await settled(page);
      const { found, beyond } = await page.evaluate(async () => {
        const { axe } = /** @type {{ axe: typeof import('axe-core') }} */ (/** @type {unknown} */ (window));
        const { violations } = await axe.run(document);
        const root = document.documentElement;
        return { found: violations.map(({ id }) => id), beyond: root.scrollWidth - root.clientWidth };
      });
      assert.deepEqual([found, beyond], [[], 0], path);
    }
  });
}
