// The client against the real executable, over gRPC-Web.

import { Code, createMozaiks, MozaiksError, pages } from '@mozaiks/client';
import { AppMode, AppState, identity, SessionState } from '@mozaiks/client/identity';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Node } from '../node.mjs';

const PLATFORM = 'apps/platform';
/** @type {Node} */
let node;

before(async () => {
  node = await Node.start();
});
after(() => node.stop());

const stranger = () => identity(createMozaiks({ baseUrl: node.gateway }));

/** @param {string} token */
const holder = (token) => identity(createMozaiks({ baseUrl: node.gateway, token: () => token }));

/** @param {string} email */
async function register(email) {
  const { result } = await stranger().auth.register({ parent: PLATFORM, email, password: 'seven brass kettles', requestId: crypto.randomUUID() });
  assert.ok(result.value, 'the answer holds no session');
  return result.value;
}

/** @param {Promise<unknown>} call */
async function failureOf(call) {
  const failed = await call.then(
    () => assert.fail('the call succeeded'),
    (/** @type {unknown} */ cause) => cause,
  );
  assert.ok(failed instanceof MozaiksError, String(failed));
  return failed;
}

test('register, sign in, create an app, find it, enter it', async () => {
  await register('ann@example.com');
  const { result } = await stranger().auth.signIn({
    parent: PLATFORM,
    identifier: { kind: { case: 'email', value: 'ann@example.com' } },
    check: { kind: { case: 'password', value: 'seven brass kettles' } },
  });
  assert.equal(result.case, 'session');
  const ann = holder(result.value.accessToken);

  const made = await ann.apps.createApp({
    app: { displayName: 'Garden Club', mode: AppMode.TEST },
    appId: 'garden-club',
    requestId: crypto.randomUUID(),
  });
  assert.equal(made.app?.name, 'apps/garden-club');
  assert.equal(made.app.state, AppState.ACTIVE);

  const { apps } = await ann.apps.listApps({});
  assert.deepEqual(apps.map(({ name, displayName }) => [name, displayName]), [['apps/garden-club', 'Garden Club']]);

  const standing = await ann.tokens.enterApp({ parent: PLATFORM, target: 'apps/garden-club' });
  assert.deepEqual(standing.roles, ['owner']);
  const { app } = await holder(standing.accessToken).apps.getApp({ name: 'apps/garden-club' });
  assert.equal(app?.mode, AppMode.TEST);
  assert.equal(app.etag, made.app.etag);
});

test('a repeated request id answers the same app', async () => {
  const { accessToken } = await register('bea@example.com');
  const { apps } = holder(accessToken);
  const ask = { app: { displayName: 'Twice' }, requestId: crypto.randomUUID() };
  const first = await apps.createApp(ask);
  const second = await apps.createApp(ask);
  assert.match(String(first.app?.name), /^apps\/app-[a-z2-7]{26}$/);
  assert.equal(second.app?.name, first.app?.name);
});

test('lists are walked page by page', async () => {
  const { accessToken } = await register('cleo@example.com');
  const { apps } = holder(accessToken);
  for (const appId of ['cleo-a', 'cleo-b', 'cleo-c']) await apps.createApp({ app: { displayName: appId }, appId });
  /** @type {string[][]} */
  const seen = [];
  for await (const page of pages(apps.listApps, { pageSize: 2 })) seen.push(page.apps.map(({ name }) => name));
  assert.deepEqual(seen.flat(), ['apps/cleo-a', 'apps/cleo-b', 'apps/cleo-c']);
  assert.ok(seen.length >= 2, 'the list came in one page');
});

test('a profile is changed at the version read, and not at an older one', async () => {
  const { accessToken } = await register('dora@example.com');
  const { me } = holder(accessToken);
  const name = `${PLATFORM}/me`;
  const { user } = await me.getMe({ name });
  const updateMask = { paths: ['profile.display_name'] };
  const change = (/** @type {string} */ displayName) =>
    me.updateMe({ name, user: { etag: user?.etag ?? '', profile: { displayName } }, updateMask });
  assert.equal((await change('Dora')).user?.profile?.displayName, 'Dora');
  const stale = await failureOf(change('Dora B.'));
  assert.deepEqual([stale.reason, stale.code], ['ETAG_STALE', Code.Aborted]);
});

test('a wrong password has its reason, and a call id', async () => {
  await register('eva@example.com');
  const failed = await failureOf(
    stranger().auth.signIn({
      parent: PLATFORM,
      identifier: { kind: { case: 'email', value: 'eva@example.com' } },
      check: { kind: { case: 'password', value: 'not this one' } },
    }),
  );
  assert.deepEqual([failed.reason, failed.code], ['CREDENTIALS_INVALID', Code.Unauthenticated]);
  assert.match(failed.callId, /^[A-Za-z0-9_-]{8,64}$/);
});

test('a call without a token is refused', async () => {
  const failed = await failureOf(stranger().me.getMe({ name: `${PLATFORM}/me` }));
  assert.equal(failed.code, Code.Unauthenticated);
});

test('an app of somebody else is as absent as one that is not', async () => {
  const { accessToken: owner } = await register('fay@example.com');
  await holder(owner).apps.createApp({ app: { displayName: 'Fay' }, appId: 'fay-app' });
  const { accessToken } = await register('gil@example.com');
  const { tokens } = holder(accessToken);
  const foreign = await failureOf(tokens.enterApp({ parent: PLATFORM, target: 'apps/fay-app' }));
  const absent = await failureOf(tokens.enterApp({ parent: PLATFORM, target: 'apps/nobody-app' }));
  assert.deepEqual([foreign.code, foreign.reason], [Code.NotFound, absent.reason]);
  assert.equal(foreign.message.replace('fay-app', 'nobody-app'), absent.message);
});

test('a session that was ended is ended for its token too', async () => {
  const { accessToken, refreshToken } = await register('hal@example.com');
  await stranger().auth.signOut({ parent: PLATFORM, refreshToken });
  const failed = await failureOf(holder(accessToken).me.getMe({ name: `${PLATFORM}/me` }));
  assert.equal(failed.code, Code.Unauthenticated);
  assert.ok(['SESSION_ENDED', 'TOKEN_REVOKED'].includes(failed.reason), failed.reason);
});

test('staff keeps people, their sessions and the keys of an app', async () => {
  const { accessToken } = await register('ida@example.com');
  const { apps, tokens } = holder(accessToken);
  const parent = 'apps/ida-app';
  await apps.createApp({ app: { displayName: 'Ida' }, appId: 'ida-app' });
  const entered = holder((await tokens.enterApp({ parent: PLATFORM, target: parent })).accessToken);

  const { user } = await entered.users.createUser({ parent, user: { email: 'joe@example.com' }, password: 'seven brass kettles' });
  const identifier = { kind: { case: /** @type {const} */ ('email'), value: 'joe@example.com' } };
  const check = { kind: { case: /** @type {const} */ ('password'), value: 'seven brass kettles' } };
  await stranger().auth.signIn({ parent, identifier, check });
  const { sessions } = await entered.sessions.listSessions({ parent, user: user?.name ?? '' });
  assert.equal(sessions.length, 1);
  const { session } = await entered.sessions.revokeSession({ name: sessions[0]?.name ?? '' });
  assert.equal(session?.state, SessionState.ENDED);

  const { signingKey } = await entered.signingKeys.rotateSigningKey({ parent });
  const { signingKeys } = await entered.signingKeys.listSigningKeys({ parent });
  assert.deepEqual(signingKeys.map(({ kid, signing }) => [kid === signingKey?.kid, signing]), [[true, false], [false, true]]);
});

test('what is for operators is not served on the public address', async () => {
  const { accessToken } = await register('kay@example.com');
  const failed = await failureOf(holder(accessToken).installation.getInstallation({}));
  assert.equal(failed.code, Code.Unimplemented);
});

test('a deadline that has passed ends the call', async () => {
  const identifier = { kind: { case: /** @type {const} */ ('email'), value: 'nobody@example.com' } };
  const check = { kind: { case: /** @type {const} */ ('password'), value: 'long enough to be hashed' } };
  const failed = await failureOf(stranger().auth.signIn({ parent: PLATFORM, identifier, check }, { timeoutMs: 1 }));
  assert.equal(failed.code, Code.DeadlineExceeded);
});
