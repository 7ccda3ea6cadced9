// A person at a browser before the real executable: what they see is read from roles and names, as a screen reader would.

import { createMozaiks } from '@mozaiks/client';
import { identity } from '@mozaiks/client/identity';
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { Node } from '../../../../clients/typescript/tests/node.mjs';

/** @typedef {import('playwright-core').Page} Page */

export const PASSWORD = 'seven brass kettles';
const ARGS = ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run'];
const WAIT_MS = 15_000;

/** A node and a browser for the tests of one file. */
export class Stage {
  /** @type {Node | undefined} */
  #node;
  /** @type {import('playwright-core').Browser | undefined} */
  #browser;
  #people = 0;

  constructor() {
    before(async () => {
      const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
      // One after the other: a browser without a node would keep the process alive.
      this.#node = await Node.start();
      this.#browser = await chromium.launch({ executablePath, args: ARGS });
    });
    after(async () => {
      await this.#browser?.close();
      await this.#node?.stop();
    });
  }

  get node() {
    assert.ok(this.#node, 'the node runs only while tests do');
    return this.#node;
  }

  /** Stops the node and starts it again on what it stored; it answers at another port. */
  async restart() {
    await this.node.halt();
    this.#node = await Node.start(this.node.state);
    return this.#node;
  }

  /** An address nobody else in this file has. */
  address() {
    this.#people += 1;
    return `person-${this.#people}@example.com`;
  }

  /**
   * A browser of its own: no cookie, no storage, one or more tabs.
   *
   * @param {import('node:test').TestContext} t
   * @param {import('playwright-core').BrowserContextOptions} [options]
   */
  async browser(t, options) {
    assert.ok(this.#browser, 'the browser runs only while tests do');
    const context = await this.#browser.newContext({ baseURL: this.node.gateway, ...options });
    context.setDefaultTimeout(WAIT_MS);
    t.after(() => context.close());
    return context;
  }

  /**
   * A tab of a browser of its own.
   *
   * @param {import('node:test').TestContext} t
   * @param {import('playwright-core').BrowserContextOptions} [options]
   */
  async tab(t, options) {
    return (await this.browser(t, options)).newPage();
  }

  /**
   * A tab in which a new person is signed in.
   *
   * @param {import('node:test').TestContext} t
   * @param {import('playwright-core').BrowserContextOptions} [options]
   */
  async member(t, options) {
    const email = this.address();
    const page = await this.tab(t, options);
    await register(page, email);
    return { page, email };
  }
}

/**
 * @param {Page} page
 * @param {string} title
 */
export async function see(page, title) {
  await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
}

/**
 * @param {Page} page
 * @param {string} email
 * @param {string} [name]
 */
export async function register(page, email, name = '') {
  await page.goto('/register');
  await see(page, 'Create your account');
  await fillRegistration(page, email, name);
  await see(page, 'Your apps');
}

/**
 * @param {Page} page
 * @param {string} email
 * @param {string} [name]
 */
export async function fillRegistration(page, email, name = '') {
  await page.getByRole('textbox', { name: 'Name' }).fill(name);
  await page.getByLabel('E-mail address').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Create account' }).click();
}

/**
 * @param {Page} page
 * @param {string} email
 * @param {string} [password]
 */
export async function signIn(page, email, password = PASSWORD) {
  await see(page, 'Sign in');
  await page.getByLabel('E-mail address').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/**
 * @param {Page} page
 * @param {{ name: string, id?: string }} app
 */
export async function createApp(page, { name, id }) {
  await page.goto('/apps/new');
  await see(page, 'New app');
  await page.getByLabel('Name', { exact: true }).fill(name);
  if (id !== undefined) await page.getByLabel('Address').fill(id);
  await page.getByRole('button', { name: 'Create app' }).click();
  await see(page, name);
}

/** @param {Page} page */
export async function signOut(page) {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await see(page, 'Sign in');
}

/**
 * Asks again and again until the answer is `wanted`.
 *
 * @template T
 * @param {() => T | Promise<T>} ask
 * @param {T} wanted
 * @param {string} what
 */
export async function until(ask, wanted, what) {
  const ends = Date.now() + WAIT_MS;
  let last = await ask();
  while (last !== wanted) {
    assert.ok(Date.now() < ends, `${what}: ${String(last)}, not ${String(wanted)}`);
    last = await ask();
  }
}

/**
 * What a person may do by program: at home, and in an app they entered.
 *
 * @param {Node} node
 * @param {string} email
 */
export async function program(node, email) {
  const parent = 'apps/platform';
  const given = await signInByProgram(node, parent, email);
  const home = identity(createMozaiks({ baseUrl: node.gateway, token: () => given.accessToken }));
  return {
    home,
    /** @param {string} id */
    async enter(id) {
      const { accessToken } = await home.tokens.enterApp({ parent, target: `apps/${id}` });
      return identity(createMozaiks({ baseUrl: node.gateway, token: () => accessToken }));
    },
  };
}

/**
 * Signs a person in to an app as a program of that app would.
 *
 * @param {Node} node
 * @param {string} parent
 * @param {string} email
 * @param {string} [deviceName]
 */
export async function signInByProgram(node, parent, email, deviceName = 'Program') {
  const { result } = await identity(createMozaiks({ baseUrl: node.gateway })).auth.signIn({
    parent,
    identifier: { kind: { case: 'email', value: email } },
    check: { kind: { case: 'password', value: PASSWORD } },
    deviceName,
  });
  assert.ok(result.case === 'session', 'the answer holds no session');
  return result.value;
}

/**
 * Adds a person to an app by its form, and answers their id.
 *
 * @param {Page} page
 * @param {string} app
 * @param {{ email: string, name?: string, password?: string }} person
 */
export async function addPerson(page, app, { email, name = '', password = '' }) {
  await page.goto(`/apps/${app}/people/new`);
  await page.getByLabel('E-mail address').fill(email);
  await page.getByLabel('Name to show').fill(name);
  await page.getByLabel('First password').fill(password);
  await page.getByRole('button', { name: 'Add person' }).click();
  await page.getByRole('heading', { level: 2, name: name || email, exact: true }).waitFor();
  return String(new URL(page.url()).pathname.split('/').at(-1));
}

/** Every route, with how to come to it: as a member with an app and a person in it, or as a visitor. */
export const MEMBER_ROUTES = /** @type {const} */ ([
  '/',
  '/apps/new',
  '/apps/:app',
  '/apps/:app/people',
  '/apps/:app/people/new',
  '/apps/:app/people/:user',
  '/apps/:app/sessions',
  '/apps/:app/keys',
  '/apps/:app/danger',
  '/apps/absent-app',
  '/me',
  '/again',
  '/operator',
  '/operator/apps',
  '/nowhere',
]);
export const VISITOR_ROUTES = /** @type {const} */ (['/login', '/register', '/nowhere']);

/**
 * Waits until a page has all it asked for.
 *
 * @param {Page} page
 */
export async function settled(page) {
  await page.getByRole('heading', { level: 1 }).first().waitFor();
  await until(() => page.locator('.skeleton').count(), 0, 'skeletons');
}

export const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
