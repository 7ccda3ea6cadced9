// The whole way by keyboard alone: no pointer is used in this file.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PASSWORD, see, Stage } from './shell.mjs';

const stage = new Stage();
const MOST_STEPS = 60;

/**
 * Presses Tab until the control of that name has the focus; every control on the way has a name and shows its focus.
 *
 * @param {import('playwright-core').Page} page
 * @param {string} name
 */
async function tabTo(page, name) {
  /** @type {string[]} */
  const passed = [];
  for (let step = 0; step < MOST_STEPS; step += 1) {
    await page.keyboard.press('Tab');
    const here = await page.evaluate(() => {
      const element = /** @type {HTMLElement} */ (document.activeElement);
      const labels = 'labels' in element ? [.../** @type {HTMLInputElement} */ (element).labels ?? []] : [];
      const label = [element.getAttribute('aria-label'), ...labels.map((part) => part.textContent), element.textContent].find(Boolean);
      const ring = (/** @type {Element} */ part, /** @type {string | null} */ pseudo) => {
        const style = getComputedStyle(part, pseudo);
        return style.outlineStyle !== 'none' && style.outlineWidth !== '0px' && style.outlineColor !== 'rgba(0, 0, 0, 0)';
      };
      const around = element.closest('label, .control');
      const shown = ring(element, null) || ring(element, '::after') || (around !== null && (ring(around, null) || getComputedStyle(around).boxShadow !== 'none'));
      return { label: (label ?? '').trim(), shown, tag: element.tagName };
    });
    assert.notEqual(here.tag, 'BODY', `the focus left the page after: ${passed.join(', ')}`);
    assert.notEqual(here.label, '', `a ${here.tag} without a name after: ${passed.join(', ')}`);
    assert.ok(here.shown, `the focus on "${here.label}" cannot be seen`);
    if (here.label.startsWith(name)) return;
    passed.push(here.label);
  }
  assert.fail(`"${name}" was not reached: ${passed.join(', ')}`);
}

test('register, create an app, change the profile, sign out', async (t) => {
  const page = await stage.tab(t);
  await page.goto('/login');
  await see(page, 'Sign in');
  await tabTo(page, 'Create an account');
  await page.keyboard.press('Enter');
  await see(page, 'Create your account');
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1', 'the focus is not at the new page');

  await tabTo(page, 'Name');
  await page.keyboard.type('Kim Reader');
  await tabTo(page, 'E-mail address');
  await page.keyboard.type(stage.address());
  await tabTo(page, 'Password');
  await page.keyboard.type(PASSWORD);
  await tabTo(page, 'Show password');
  await page.keyboard.press('Space');
  assert.equal(await page.getByLabel('Password', { exact: true }).getAttribute('type'), 'text');
  await page.keyboard.press('Space');
  await tabTo(page, 'Stay signed in');
  await page.keyboard.press('Space');
  await tabTo(page, 'Create account');
  await page.keyboard.press('Enter');
  await see(page, 'Your apps');

  await tabTo(page, 'Create your first app');
  await page.keyboard.press('Enter');
  await see(page, 'New app');
  await tabTo(page, 'Name');
  await page.keyboard.type('Reading Room');
  await tabTo(page, 'Live');
  await page.keyboard.press('ArrowDown');
  assert.equal(await page.getByRole('radio', { name: 'Test' }).isChecked(), true);
  await page.keyboard.press('Enter');
  await see(page, 'Reading Room');

  await page.reload();
  await see(page, 'Reading Room');
  await tabTo(page, 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
  await tabTo(page, 'All apps');
  await page.keyboard.press('Enter');
  await see(page, 'Your apps');

  await page.reload();
  await see(page, 'Your apps');
  await tabTo(page, 'Profile');
  await page.keyboard.press('Enter');
  await see(page, 'Profile');
  await page.getByLabel('Name to show').waitFor();
  await tabTo(page, 'Name to show');
  await page.keyboard.press('End');
  await page.keyboard.type('!');
  await page.keyboard.press('Enter');
  await page.getByText('Saved').waitFor();

  await page.reload();
  await page.getByRole('banner').getByText('Kim Reader!').waitFor();
  await tabTo(page, 'Sign out');
  await page.keyboard.press('Enter');
  await see(page, 'Sign in');
});
