// What outlives the process.

import { test } from 'node:test';
import { createApp, see, Stage } from './shell.mjs';

const stage = new Stage();

test('after a restart the person is still signed in and finds the app again', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Tide Tables' });
  const { gateway } = await stage.restart();
  await page.goto(gateway);
  await see(page, 'Your apps');
  await page.getByRole('link', { name: 'Tide Tables' }).click();
  await see(page, 'Tide Tables');
});
