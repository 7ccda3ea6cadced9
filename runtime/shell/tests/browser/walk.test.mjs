// The way through the product, and what goes wrong on it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createApp, fillRegistration, PASSWORD, register, see, signIn, signOut, Stage } from './shell.mjs';

const stage = new Stage();

test('register, create an app, find it after a reload, sign out, sign in, find it again', async (t) => {
  const page = await stage.tab(t);
  const email = stage.address();
  await register(page, email, 'Ann Smith');
  await page.getByText('No apps yet').waitFor();

  await page.getByRole('link', { name: 'Create your first app' }).click();
  await see(page, 'New app');
  await page.getByLabel('Name', { exact: true }).fill('Garden Club');
  assert.equal(await page.getByLabel('Address').inputValue(), 'garden-club');
  await page.getByRole('button', { name: 'Create app' }).click();
  await see(page, 'Garden Club');
  await page.getByText('Owner').waitFor();
  assert.equal(new URL(page.url()).pathname, '/apps/garden-club');

  await page.reload();
  await see(page, 'Garden Club');
  await page.getByRole('link', { name: 'All apps' }).click();
  await see(page, 'Your apps');
  await page.getByRole('link', { name: 'Garden Club' }).waitFor();

  await signOut(page);
  await page.getByText('You are signed out.').waitFor();
  await page.goto('/');
  await signIn(page, email);
  await see(page, 'Your apps');
  await page.getByRole('link', { name: 'Garden Club' }).click();
  await see(page, 'Garden Club');
});

test('a wrong password is told as such, with the id of the call, and the right one still works', async (t) => {
  const { page, email } = await stage.member(t);
  await signOut(page);
  await signIn(page, email, 'not this one at all');
  const alert = page.getByRole('alert');
  await alert.getByText('E-mail address or password is wrong').waitFor();
  assert.match(await alert.innerText(), /CREDENTIALS_INVALID · Call [A-Za-z0-9_-]{8,64}/);
  assert.equal(await alert.evaluate((element) => element === document.activeElement), true, 'the alert has no focus');
  await signIn(page, email);
  await see(page, 'Your apps');
});

test('what is wrong with a field stands at the field, which gets the focus', async (t) => {
  const page = await stage.tab(t);
  await page.goto('/register');
  await see(page, 'Create your account');
  const email = page.getByLabel('E-mail address');
  const password = page.getByLabel('Password', { exact: true });
  const submit = page.getByRole('button', { name: 'Create account' });

  await submit.click();
  await page.getByText('Enter your e-mail address.').waitFor();
  assert.equal(await email.evaluate((element) => element === document.activeElement), true, 'the faulty field has no focus');

  await email.fill(stage.address());
  await password.fill('short');
  await submit.click();
  await page.getByText('This password is too easy to guess').waitFor();
  assert.equal(await password.getAttribute('aria-invalid'), 'true');
  assert.equal(await email.getAttribute('aria-invalid'), 'false');
  const described = await password.evaluate((element) =>
    (element.getAttribute('aria-describedby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent).join(' '),
  );
  assert.match(described, /too easy to guess/);

  await password.fill(PASSWORD);
  await submit.click();
  await see(page, 'Your apps');
});

test('an address that has an account, and an app address that is taken', async (t) => {
  const { page, email } = await stage.member(t);
  await createApp(page, { name: 'First', id: 'taken-address' });
  await page.goto('/apps/new');
  await page.getByLabel('Name', { exact: true }).fill('Second');
  await page.getByLabel('Address').fill('taken-address');
  await page.getByRole('button', { name: 'Create app' }).click();
  await page.getByText('This address is taken').waitFor();
  assert.equal(await page.getByLabel('Address').getAttribute('aria-invalid'), 'true');

  const other = await stage.tab(t);
  await other.goto('/register');
  await fillRegistration(other, email);
  await other.getByText('This e-mail address has an account').waitFor();
});

test('whoever is not signed in comes back to the page they wanted', async (t) => {
  const { page, email } = await stage.member(t);
  await signOut(page);
  await page.goto('/me');
  await see(page, 'Sign in');
  assert.equal(new URL(page.url()).searchParams.get('return'), '/me');
  await signIn(page, email);
  await see(page, 'Profile');
});

test('a return path leads nowhere else', async (t) => {
  const { page, email } = await stage.member(t);
  await signOut(page);
  await page.goto(`/login?return=${encodeURIComponent('//evil.example/me')}`);
  await signIn(page, email);
  await see(page, 'Your apps');
  assert.equal(new URL(page.url()).origin, stage.node.gateway);
});

test('whoever has the link of the operator at the machine registers with it, once', async (t) => {
  const link = await stage.node.invite();
  const page = await stage.tab(t);
  await page.goto(link);
  await page.getByText('You were invited').waitFor();
  assert.equal(new URL(page.url()).hash, '', 'the secret stays in the address');
  await fillRegistration(page, stage.address());
  await see(page, 'Your apps');

  const second = await stage.tab(t);
  await second.goto(link);
  await fillRegistration(second, stage.address());
  await second.getByText('This invitation no longer works').waitFor();
});

test('an unknown page says so and names what was perhaps meant; an app of nobody is not found', async (t) => {
  const { page } = await stage.member(t);
  await page.goto('/app/new');
  await see(page, 'Page not found');
  assert.match(await page.title(), /^Page not found/);
  await page.getByRole('main').getByRole('link', { name: 'New app' }).click();
  await see(page, 'New app');
  await page.goto('/apps/nobody-has-this');
  await see(page, 'App not found');
});

test('a test app is marked as one', async (t) => {
  const { page } = await stage.member(t);
  await page.goto('/apps/new');
  await page.getByLabel('Name', { exact: true }).fill('Try Out');
  await page.getByRole('radio', { name: 'Test' }).check();
  await page.getByRole('button', { name: 'Create app' }).click();
  await see(page, 'Try Out');
  await page.getByRole('main').getByText('Test', { exact: true }).waitFor();
});
