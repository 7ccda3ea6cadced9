// The client against a server of somebody else's make: errors, headers, renewal, deadlines, pages.

import { Code as GrpcCode, ConnectError } from '@connectrpc/connect';
import { Code, createMozaiks, MozaiksError, pages, VERSION } from '@mozaiks/client';
import { AppsService, identity, MeService } from '@mozaiks/client/identity';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
} from '../../dist/gen/google/rpc/error_details_pb.js';
import { startPeer } from './peer.mjs';

/**
 * @param {GrpcCode} code
 * @param {string} reason
 */
function refusal(code, reason) {
  return new ConnectError('refused', code, undefined, [
    { desc: ErrorInfoSchema, value: { reason, domain: 'test', metadata: { limit: '3' } } },
    { desc: RequestInfoSchema, value: { requestId: 'call-0001' } },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 2n, nanos: 500_000_000 } } },
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: 'app.display_name', description: 'too long', reason: 'LONG' }] } },
  ]);
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

/** @returns {{ promise: Promise<void>, open: () => void }} */
function gate() {
  let open = () => undefined;
  const promise = /** @type {Promise<void>} */ (new Promise((resolve) => (open = /** @type {any} */ (resolve))));
  return { promise, open };
}

test('an error carries what the server said about it', async (t) => {
  const peer = await startPeer((router) =>
    router.service(AppsService, {
      createApp() {
        throw refusal(GrpcCode.InvalidArgument, 'APP_ID_INVALID');
      },
    }),
  );
  t.after(peer.close);
  const { apps } = identity(createMozaiks({ baseUrl: peer.baseUrl }));
  const failed = await failureOf(apps.createApp({ appId: 'A' }));
  assert.equal(failed.reason, 'APP_ID_INVALID');
  assert.equal(failed.message, 'refused');
  assert.equal(failed.code, Code.InvalidArgument);
  assert.equal(failed.callId, 'call-0001');
  assert.equal(failed.retryAfterMs, 2500);
  assert.deepEqual(failed.details, { limit: '3' });
  const [violation, ...others] = failed.fieldViolations;
  assert.deepEqual([violation?.field, violation?.description, violation?.reason], ['app.display_name', 'too long', 'LONG']);
  assert.equal(others.length, 0);
});

test('an error without details names the call by the id that was sent', async (t) => {
  const peer = await startPeer((router) =>
    router.service(AppsService, {
      getApp() {
        throw new ConnectError('broke', GrpcCode.Internal);
      },
    }),
  );
  t.after(peer.close);
  const { apps } = identity(createMozaiks({ baseUrl: peer.baseUrl }));
  const failed = await failureOf(apps.getApp({ name: 'apps/x' }));
  assert.equal(failed.reason, 'UNKNOWN');
  assert.equal(failed.callId, peer.seen[0]?.['x-request-id']);
  assert.match(failed.callId, /^[0-9a-f-]{36}$/);
});

test('each call names the program, and asks for a cookie only when told to', async (t) => {
  const peer = await startPeer((router) => router.service(AppsService, { listApps: () => ({}) }));
  t.after(peer.close);
  const plain = identity(createMozaiks({ baseUrl: peer.baseUrl, headers: { 'accept-language': 'pt' } }));
  const named = identity(createMozaiks({ baseUrl: peer.baseUrl, client: 'demo/9', session: 'cookie', token: () => 'secret' }));
  await plain.apps.listApps({});
  await named.apps.listApps({});
  const [first, second] = peer.seen;
  assert.equal(first?.['x-mozaiks-client'], `mozaiks-typescript/${VERSION}`);
  assert.equal(first?.['x-mozaiks-session'], undefined);
  assert.equal(first?.authorization, undefined);
  assert.equal(first?.['accept-language'], 'pt');
  assert.equal(second?.['x-mozaiks-client'], 'demo/9');
  assert.equal(second?.['x-mozaiks-session'], 'cookie');
  assert.equal(second?.authorization, 'Bearer secret');
  assert.notEqual(first?.['x-request-id'], second?.['x-request-id']);
});

test('calls that fail together share one renewal, and each is made once more', async (t) => {
  const { promise: allRefused, open: refusedAll } = gate();
  let refused = 0;
  const peer = await startPeer((router) =>
    router.service(MeService, {
      getMe(_ask, context) {
        if (context.requestHeader.get('authorization') === 'Bearer new') return {};
        refused += 1;
        if (refused === 20) refusedAll();
        throw refusal(GrpcCode.Unauthenticated, 'TOKEN_EXPIRED');
      },
    }),
  );
  t.after(peer.close);
  let token = 'old';
  let renewals = 0;
  const { me } = identity(
    createMozaiks({
      baseUrl: peer.baseUrl,
      token: () => token,
      async refresh() {
        renewals += 1;
        await allRefused;
        token = 'new';
      },
    }),
  );
  await Promise.all(Array.from({ length: 20 }, () => me.getMe({ name: 'apps/x/me' })));
  assert.equal(renewals, 1);
  assert.equal(peer.seen.length, 40);
});

test('a call that is refused again after the renewal fails', async (t) => {
  const peer = await startPeer((router) =>
    router.service(MeService, {
      getMe() {
        throw refusal(GrpcCode.Unauthenticated, 'TOKEN_REVOKED');
      },
    }),
  );
  t.after(peer.close);
  const { me } = identity(createMozaiks({ baseUrl: peer.baseUrl, token: () => 'old', refresh: async () => undefined }));
  const failed = await failureOf(me.getMe({ name: 'apps/x/me' }));
  assert.equal(failed.reason, 'TOKEN_REVOKED');
  assert.equal(peer.seen.length, 2);
});

test('what a newer token cannot mend is not tried again', async (t) => {
  const peer = await startPeer((router) =>
    router.service(MeService, {
      getMe() {
        throw refusal(GrpcCode.Unauthenticated, 'CREDENTIALS_INVALID');
      },
      updateMe() {
        throw refusal(GrpcCode.PermissionDenied, 'TOKEN_EXPIRED');
      },
    }),
  );
  t.after(peer.close);
  const refresh = async () => assert.fail('nothing to renew');
  const { me } = identity(createMozaiks({ baseUrl: peer.baseUrl, token: () => 'old', refresh }));
  assert.equal((await failureOf(me.getMe({}))).reason, 'CREDENTIALS_INVALID');
  assert.equal((await failureOf(me.updateMe({}))).reason, 'TOKEN_EXPIRED');
  assert.equal(peer.seen.length, 2);
});

test('a renewal that fails is what the call fails with', async (t) => {
  const peer = await startPeer((router) =>
    router.service(MeService, {
      getMe() {
        throw refusal(GrpcCode.Unauthenticated, 'SESSION_ENDED');
      },
    }),
  );
  t.after(peer.close);
  const ended = new MozaiksError({ reason: 'REFRESH_REUSED', message: 'over', code: Code.Unauthenticated, callId: 'call-9' });
  const { me } = identity(createMozaiks({ baseUrl: peer.baseUrl, token: () => 'old', refresh: () => Promise.reject(ended) }));
  assert.equal(await failureOf(me.getMe({})), ended);
});

test('a deadline, an abort and a server that is not there each have their reason', async (t) => {
  const { promise: released, open: release } = gate();
  const peer = await startPeer((router) =>
    router.service(AppsService, {
      async listApps() {
        await released;
        return {};
      },
    }),
  );
  t.after(() => {
    release();
    peer.close();
  });
  const { apps } = identity(createMozaiks({ baseUrl: peer.baseUrl }));
  assert.equal((await failureOf(apps.listApps({}, { timeoutMs: 50 }))).reason, 'CLIENT_TIMEOUT');

  const stop = new AbortController();
  const call = apps.listApps({}, { signal: stop.signal });
  stop.abort();
  assert.equal((await failureOf(call)).reason, 'CLIENT_ABORTED');

  const nobody = await startPeer(() => undefined);
  nobody.close();
  const away = await failureOf(identity(createMozaiks({ baseUrl: nobody.baseUrl })).apps.listApps({}));
  assert.equal(away.reason, 'UNREACHABLE');
  assert.equal(away.code, Code.Unavailable);
  assert.match(away.callId, /^[0-9a-f-]{36}$/);
});

test('the deadline travels with the call', async (t) => {
  const peer = await startPeer((router) => router.service(AppsService, { listApps: () => ({}) }));
  t.after(peer.close);
  const { apps } = identity(createMozaiks({ baseUrl: peer.baseUrl, timeoutMs: 4_000 }));
  await apps.listApps({});
  const [, milliseconds] = /^(\d+)m$/.exec(String(peer.seen[0]?.['grpc-timeout'])) ?? [];
  assert.ok(Number(milliseconds) > 3_000 && Number(milliseconds) <= 4_000, `grpc-timeout is ${peer.seen[0]?.['grpc-timeout']}`);
});

test('pages are walked to the end, each asked for with the token of the one before', async (t) => {
  /** @type {string[]} */
  const asked = [];
  const peer = await startPeer((router) =>
    router.service(AppsService, {
      listApps({ pageToken, pageSize }) {
        asked.push(`${pageToken}/${pageSize}`);
        const at = Number(pageToken || '0');
        return { apps: [{ name: `apps/app-${at}` }], nextPageToken: at < 2 ? String(at + 1) : '' };
      },
    }),
  );
  t.after(peer.close);
  const { apps } = identity(createMozaiks({ baseUrl: peer.baseUrl }));
  /** @type {string[]} */
  const names = [];
  for await (const page of pages(apps.listApps, { pageSize: 1 })) names.push(...page.apps.map(({ name }) => name));
  assert.deepEqual(names, ['apps/app-0', 'apps/app-1', 'apps/app-2']);
  assert.deepEqual(asked, ['/1', '1/1', '2/1']);
});

test('the version is that of the package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.equal(VERSION, version);
});
