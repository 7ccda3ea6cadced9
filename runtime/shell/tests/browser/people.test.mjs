// The people of an app, as its staff keeps them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addPerson, createApp, PASSWORD, program, signInByProgram, Stage, until } from './shell.mjs';

const stage = new Stage();

test('a person is added, found in the list, and their profile is changed', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Choir', id: 'choir' });
  await page.getByRole('navigation', { name: 'This app' }).getByRole('link', { name: 'People' }).click();
  await page.getByText('Nobody is here yet').waitFor();
  await page.getByRole('link', { name: 'Add the first person' }).click();
  await page.getByRole('button', { name: 'Add person' }).click();
  await page.getByText('Enter their e-mail address.').waitFor();

  await addPerson(page, 'choir', { email: 'bob@example.com', name: 'Bob' });
  await page.getByLabel('Given name').fill('Robert');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Saved').waitFor();
  await page.getByRole('link', { name: 'All people' }).click();
  await page.getByRole('list', { name: 'People' }).getByRole('link', { name: 'Bob' }).click();
  await until(() => page.getByLabel('Given name').inputValue(), 'Robert', 'the given name');
  await page.reload();
  await until(() => page.getByLabel('Given name').inputValue(), 'Robert', 'the given name');
});

test('an address that has an account here, or is none, is told at its field', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Band', id: 'band' });
  await addPerson(page, 'band', { email: 'twice@example.com' });
  await page.goto('/apps/band/people/new');
  const email = page.getByLabel('E-mail address');
  const add = page.getByRole('button', { name: 'Add person' });
  await email.fill('twice@example.com');
  await add.click();
  await page.getByText('This e-mail address has an account').waitFor();
  await email.fill('no address');
  await add.click();
  await page.getByText('This e-mail address cannot be used').waitFor();
  assert.equal(await email.getAttribute('aria-invalid'), 'true');
  await email.fill('other@example.com');
  await page.getByLabel('First password').fill('short');
  await add.click();
  await page.getByText('This password is too easy to guess').waitFor();
});

test('people are listed newest first, page by page', async (t) => {
  const { page, email } = await stage.member(t);
  await createApp(page, { name: 'Crowd', id: 'crowd' });
  const crowd = await (await program(stage.node, email)).enter('crowd');
  for (let at = 1; at <= 30; at += 1) {
    await crowd.users.createUser({ parent: 'apps/crowd', user: { email: `crowd-${at}@example.com`, profile: { displayName: `Person ${at}` } } });
  }
  await page.goto('/apps/crowd/people');
  const names = page.getByRole('list', { name: 'People' }).getByRole('link');
  await names.first().waitFor();
  assert.equal(await names.first().innerText(), 'Person 30');
  const shown = await names.count();
  assert.ok(shown < 30, 'the list came in one page');
  await page.getByRole('button', { name: 'Show more' }).click();
  await until(() => names.count(), 30, 'people');
  assert.equal(await names.last().innerText(), 'Person 1');
  assert.equal(await page.getByRole('button', { name: 'Show more' }).count(), 0);
});

test('a session is ended by the staff, of one person or from the list of all', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Club', id: 'club' });
  const bob = await addPerson(page, 'club', { email: 'bob@example.com', name: 'Bob', password: PASSWORD });
  await signInByProgram(stage.node, 'apps/club', 'bob@example.com', 'Phone');
  await signInByProgram(stage.node, 'apps/club', 'bob@example.com', 'Tablet');
  const open = page.getByRole('list', { name: 'Open sessions' }).getByRole('listitem');

  await page.goto('/apps/club/sessions');
  await open.first().waitFor();
  assert.equal(await open.getByRole('link', { name: 'Bob' }).count(), 2);
  await page.getByRole('button', { name: 'End session of Phone' }).click();
  await page.getByText('Phone: the session has ended.').waitFor();
  await until(() => open.count(), 1, 'open sessions');

  await page.goto(`/apps/club/people/${bob}`);
  await page.getByRole('button', { name: 'End session of Tablet' }).click();
  await page.getByText('Tablet: the session has ended.').waitFor();
  await page.getByText('Nobody is signed in.').waitFor();
  await page.getByText('Recently ended (2)').waitFor();
});

test('a disabled person is signed out and cannot sign in, until they are enabled', async (t) => {
  const { page } = await stage.member(t);
  await createApp(page, { name: 'Guild', id: 'guild' });
  await addPerson(page, 'guild', { email: 'cleo@example.com', name: 'Cleo', password: PASSWORD });
  const signIn = () => signInByProgram(stage.node, 'apps/guild', 'cleo@example.com', 'Phone');
  await signIn();
  await page.reload();
  await page.getByRole('button', { name: 'End session of Phone' }).waitFor();

  await page.getByText('Disabling signs this person out everywhere at once').waitFor();
  await page.getByRole('button', { name: 'Disable this person' }).click();
  await page.getByText('This person cannot sign in.').waitFor();
  await assert.rejects(signIn, { reason: 'CREDENTIALS_INVALID' });
  await page.getByText('Nobody is signed in.').waitFor();
  await page.getByRole('link', { name: 'All people' }).click();
  await page.getByRole('list', { name: 'People' }).getByText('Disabled').waitFor();

  await page.getByRole('link', { name: 'Cleo' }).click();
  await page.getByRole('button', { name: 'Enable this person' }).click();
  await page.getByText('May sign in', { exact: true }).waitFor();
  await signIn();
});
