// Every route in light and dark: axe finds nothing, nothing is cut off at 320 pixels, targets are large enough.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addPerson, AXE, createApp, MEMBER_ROUTES, settled, Stage, VISITOR_ROUTES } from './shell.mjs';

/** @typedef {import('playwright-core').Page} Page */

const stage = new Stage();
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** @param {Page} page */
async function axeFindings(page) {
  return page.evaluate(async (rules) => {
    const { axe } = /** @type {{ axe: typeof import('axe-core') }} */ (/** @type {unknown} */ (window));
    const { violations, passes } = await axe.run(document, { runOnly: rules });
    return {
      checked: passes.length,
      found: violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} at ${target.join(' ')}: ${failureSummary}`)),
    };
  }, RULES);
}

/**
 * @param {Page} page
 * @param {string} route
 */
async function isClean(page, route) {
  await page.goto(route);
  await settled(page);
  const { checked, found } = await axeFindings(page);
  assert.deepEqual(found, [], route);
  assert.ok(checked > 15, `axe checked only ${checked} rules on ${route}`);
}

for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
  test(`axe finds nothing on any route in ${colorScheme}`, async (t) => {
    const context = await stage.browser(t, { colorScheme });
    await context.addInitScript({ path: AXE });
    const page = await context.newPage();
    for (const route of VISITOR_ROUTES) await isClean(page, route);

    await page.goto('/login');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Enter your e-mail address.').waitFor();
    assert.deepEqual((await axeFindings(page)).found, [], 'a form with faults');

    const member = await stage.member(t, { colorScheme });
    await member.page.context().addInitScript({ path: AXE });
    await isClean(member.page, '/');
    const id = `axe-${colorScheme}`;
    await createApp(member.page, { name: 'Axe', id });
    const user = await addPerson(member.page, id, { email: 'pat@example.com' });
    for (const route of MEMBER_ROUTES) await isClean(member.page, route.replace(':app', id).replace(':user', user));
  });
}

test('axe sees what is wrong', async (t) => {
  const context = await stage.browser(t);
  await context.addInitScript({ path: AXE });
  const page = await context.newPage();
  await page.goto('/login');
  await settled(page);
  await page.evaluate(() => document.querySelector('.field label')?.remove());
  const { found } = await axeFindings(page);
  assert.ok(found.some((finding) => finding.startsWith('label ')), 'an input without a label was not found');
});

for (const width of [320, 360]) {
  test(`nothing is cut off or too small at ${width} pixels`, async (t) => {
    const viewport = { width, height: 640 };
    const visitor = await stage.tab(t, { viewport, hasTouch: true });
    for (const route of VISITOR_ROUTES) await fits(visitor, route);
    const { page } = await stage.member(t, { viewport, hasTouch: true });
    const id = `a-rather-long-address-of-an-app-${width}`;
    await createApp(page, { name: `A name without any${'x'.repeat(40)} break in it`, id });
    const email = `a-rather-long-address-of-a-person-${width}@a-rather-long-name-of-a-host.example.com`;
    const user = await addPerson(page, id, { email });
    for (const route of MEMBER_ROUTES) await fits(page, route.replace(':app', id).replace(':user', user));
  });
}

/**
 * @param {Page} page
 * @param {string} route
 */
async function fits(page, route) {
  await page.goto(route);
  await settled(page);
  const { beyond, small, tiny } = await page.evaluate(() => {
    const root = document.documentElement;
    const boxes = [...document.querySelectorAll('a, button, input, select, textarea, summary')].flatMap((element) => {
      // What is labelled may be pressed at its label too; links inside a sentence are exempt (WCAG 2.5.8).
      const target = element.closest('label') ?? element;
      const { width, height } = target.getBoundingClientRect();
      const inSentence = element.tagName === 'A' && getComputedStyle(element).display === 'inline';
      const hidden = width <= 1 || getComputedStyle(target).visibility === 'hidden' || element.matches('.skip');
      return hidden || inSentence ? [] : [{ name: element.outerHTML.slice(0, 90), width, height }];
    });
    const inputs = [...document.querySelectorAll('input:not([type=radio], [type=checkbox]), select, textarea')];
    return {
      beyond: root.scrollWidth - root.clientWidth,
      small: boxes.filter(({ width, height }) => width < 24 || height < 24),
      // Below 16 pixels a phone zooms in on the field.
      tiny: inputs.filter((input) => Number.parseFloat(getComputedStyle(input).fontSize) < 16).length,
    };
  });
  assert.equal(beyond, 0, `${route} scrolls sideways`);
  assert.deepEqual(small, [], `${route} has targets below 24 pixels`);
  assert.equal(tiny, 0, `${route} has inputs below 16 pixels`);
}

test('one main landmark and one first heading on every route', async (t) => {
  const { page } = await stage.member(t);
  for (const route of MEMBER_ROUTES) {
    await page.goto(route.replace(':app', 'absent-app'));
    await settled(page);
    assert.deepEqual([await page.getByRole('main').count(), await page.getByRole('heading', { level: 1 }).count()], [1, 1], route);
    assert.match(await page.title(), /.+ · Mozaiks$/, route);
  }
});
