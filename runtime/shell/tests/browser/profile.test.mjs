// The profile page: changing it, meeting a newer version, theme.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { see, Stage, until } from './shell.mjs';

const stage = new Stage();

test('a profile is changed, and the change is there after a reload', async (t) => {
  const { page, email } = await stage.member(t);
  await page.goto('/me');
  const shown = page.getByLabel('Name to show');
  await shown.fill('Ann Smith');
  await page.getByLabel('Given name').fill('Ann');
  await page.getByLabel('Language').selectOption('pt-BR');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Saved').waitFor();
  await page.getByRole('banner').getByText('Ann Smith').waitFor();

  await page.reload();
  await until(() => shown.inputValue(), 'Ann Smith', 'the name');
  assert.equal(await page.getByLabel('Given name').inputValue(), 'Ann');
  assert.equal(await page.getByLabel('Language').inputValue(), 'pt-BR');
  await page.getByRole('main').getByText(email).waitFor();
});

test('a change at an old version is refused, and the newest one is a press away', async (t) => {
  const { page } = await stage.member(t);
  await page.goto('/me');
  const shown = page.getByLabel('Name to show');
  await shown.fill('Mine');
  const second = await page.context().newPage();
  await second.goto('/me');
  await second.getByLabel('Name to show').fill('Theirs');
  await second.getByRole('button', { name: 'Save changes' }).click();
  await second.getByText('Saved').waitFor();

  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Somebody changed this in the meantime').waitFor();
  assert.equal(await shown.inputValue(), 'Mine', 'what was typed is gone');
  await page.getByRole('button', { name: 'Load the newest' }).click();
  await until(() => shown.inputValue(), 'Theirs', 'the name');
  await shown.fill('Both');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Saved').waitFor();
});

test('what did not change is not sent', async (t) => {
  const { page } = await stage.member(t);
  await page.goto('/me');
  await see(page, 'Profile');
  let changes = 0;
  page.on('request', (request) => {
    if (request.url().endsWith('/UpdateMe')) changes += 1;
  });
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Nothing has changed').waitFor();
  assert.equal(changes, 0);
});

test('the theme follows the system until one is chosen, and the choice stays', async (t) => {
  const { page } = await stage.member(t, { colorScheme: 'light' });
  await page.goto('/me');
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await ground();
  assert.notEqual(dark, light);

  await page.emulateMedia({ colorScheme: 'light' });
  await page.getByRole('main').getByRole('radio', { name: 'Dark' }).check();
  assert.equal(await ground(), dark);
  await page.reload();
  await see(page, 'Profile');
  assert.equal(await ground(), dark);
  await page.getByRole('main').getByRole('radio', { name: 'System' }).check();
  assert.equal(await ground(), light);
});
