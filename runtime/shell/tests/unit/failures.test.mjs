// Failures in words, and the fields that show them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

/** @type {typeof import('../../src/failures')} */
const { explain, fieldFaults } = await load('failures.ts');
/** @type {typeof import('@mozaiks/client')} */
const { Code, MozaiksError } = await load('../../../clients/typescript/dist/src/index.js');

/**
 * @param {string} reason
 * @param {Partial<ConstructorParameters<typeof MozaiksError>[0]>} [more]
 */
const failure = (reason, more) => new MozaiksError({ reason, message: 'raw', code: Code.Unknown, callId: 'c', ...more });

test('a known reason has its words, an unknown one those of its code', () => {
  assert.equal(explain(failure('APP_ID_TAKEN')).title, 'This address is taken');
  assert.equal(explain(failure('NEVER_SEEN', { code: Code.NotFound })).title, 'Nothing is here');
  assert.equal(explain(failure('NEVER_SEEN')).title, 'Something went wrong');
});

test('the wording of the server is never shown as a title or text', () => {
  for (const reason of ['APP_ID_TAKEN', 'UNREACHABLE', 'NEVER_SEEN']) {
    const { title, text } = explain(failure(reason, { message: 'password hunter2' }));
    assert.ok(!`${title} ${text}`.includes('hunter2'), reason);
  }
});

test('what passes by itself says when to try again', () => {
  const { text } = explain(failure('TRY_LATER', { retryAfterMs: 9_500, code: Code.ResourceExhausted }));
  assert.equal(text, 'Try again in 10 seconds.');
  assert.equal(explain(failure('TRY_LATER', { retryAfterMs: 300_000 })).text, 'Try again in 5 minutes.');
});

test('a violation is shown at its field, from whatever root it is named', () => {
  const refused = failure('PROFILE_INVALID', {
    fieldViolations: [{ field: 'user.profile.display_name', description: 'is longer than 80 characters', reason: '' }],
  });
  assert.deepEqual(fieldFaults(refused, ['profile.display_name', 'profile.locale']), {
    'profile.display_name': 'Is longer than 80 characters.',
  });
  assert.deepEqual(fieldFaults(refused, ['email']), {});
});

test('a reason that means one field is shown there even if the server names none', () => {
  const faults = fieldFaults(failure('EMAIL_TAKEN'), ['email', 'password']);
  assert.deepEqual(Object.keys(faults), ['email']);
  assert.deepEqual(fieldFaults(failure('EMAIL_TAKEN'), ['app_id']), {});
});

test('a reason may mean something narrower at one field', () => {
  const wrong = failure('CREDENTIALS_INVALID', { code: Code.Unauthenticated });
  assert.deepEqual(fieldFaults(wrong, ['email', 'password']), {});
  assert.match(String(fieldFaults(wrong, ['current_password'])['current_password']), /not your password/);
});

test('a weak new password is shown at the field of the new one', () => {
  const weak = failure('PASSWORD_WEAK', { fieldViolations: [{ field: 'password', description: 'is short', reason: '' }] });
  assert.deepEqual(Object.keys(fieldFaults(weak, ['current_password', 'new_password'])), ['new_password']);
});
