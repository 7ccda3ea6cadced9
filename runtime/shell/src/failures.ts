// What a failure means in plain words, by its reason. Must not repeat the server's wording, nor show any secret.

import { Code, type FieldViolation, type MozaiksError } from '@mozaiks/client';

export interface Explanation {
  readonly title: string;
  readonly text: string;
}

type Words = readonly [title: string, text: string];

const BY_REASON: Readonly<Record<string, Words>> = {
  ACCOUNT_CHANGED: ['Your account changed meanwhile', 'Load the page again, then repeat it.'],
  ANSWER_UNKNOWN: ['This page is out of date', 'The server answered in a way this page does not know. Load the page again.'],
  APP_DELETED: ['This app is deleted', 'Take the deletion back first.'],
  APP_ID_INVALID: ['This address cannot be used', 'Use 3 to 40 lower-case letters, digits and hyphens, beginning with a letter.'],
  APP_ID_TAKEN: ['This address is taken', 'Another app uses it. Choose another one.'],
  APP_NOT_DELETED: ['This app is not deleted', 'Somebody has taken the deletion back already.'],
  APP_PAUSED: ['This app is paused', 'Its staff closed it for the time being.'],
  APP_RESERVED: ['This app carries the installation', 'It can be neither paused nor deleted.'],
  CLIENT_TIMEOUT: ['The server takes too long', 'It did not answer in time. Try again.'],
  CONFIRMATION_MISSING: ['This is not the address of the app', 'Type it exactly as it is shown.'],
  CREDENTIALS_INVALID: ['E-mail address or password is wrong', 'Check both and try again.'],
  CROSS_SITE_REFUSED: ['The request was refused', 'It did not come from this site. Load the page again.'],
  DISK_FULL: ['The server has no room left', 'Nothing was saved. Tell whoever runs this site.'],
  DRAINING: ['The server is restarting', 'Try again in a moment.'],
  EMAIL_INVALID: ['This e-mail address cannot be used', 'Check it for typing errors.'],
  EMAIL_TAKEN: ['This e-mail address has an account', 'Sign in with it, or use another address.'],
  ETAG_STALE: ['Somebody changed this in the meantime', 'Load the newest version, then make your change again.'],
  HASHING_BUSY: ['Many people are signing in', 'Try again in a moment.'],
  INVITATION_DEAD: ['This invitation no longer works', 'It was used, or its time is over. Ask for a new one.'],
  INVITATION_EMAIL_MISMATCH: ['This invitation is for another address', 'Use the e-mail address that was invited.'],
  METHOD_UNKNOWN: ['This is not served here', 'The address of this page does not offer it.'],
  OVERLOADED: ['The server is busy', 'Try again in a moment.'],
  OWN_ACCOUNT: ['This is your own account', 'Nobody can disable or delete themselves here.'],
  PASSWORD_WEAK: ['This password is too easy to guess', 'Use at least 8 characters, and nothing common.'],
  PERMISSION_MISSING: ['You may not do this', 'Ask an owner of the app for the permission.'],
  PLANE_REFUSED: ['This is for operators', 'Only operators of the installation may do this.'],
  RATE_LIMITED: ['Too many requests', 'Wait a moment, then try again.'],
  REFRESH_REUSED: ['Your session ended', 'Sign in again to continue.'],
  REGISTRATION_CLOSED: ['Registration is closed', 'Ask whoever runs this site for an invitation.'],
  REQUEST_ID_REUSED: ['This was sent before with other content', 'Try again.'],
  SESSION_ENDED: ['Your session ended', 'Sign in again to continue.'],
  STEP_UP_REQUIRED: ['Sign in again first', 'For this you must have signed in within the last 15 minutes.'],
  TOKEN_REVOKED: ['Your session ended', 'Sign in again to continue.'],
  TRY_LATER: ['Too many attempts', 'Wait a moment before the next one.'],
  USER_DELETED: ['This person is deleted', 'Take the deletion back first.'],
  USER_NOT_DELETED: ['This person is not deleted', 'Or it is too late to take that back.'],
  UNREACHABLE: ['The server cannot be reached', 'Check your connection, then try again.'],
};

// For reasons that are not known here: what went wrong by and large.
const BY_CODE: ReadonlyMap<Code, Words> = new Map([
  [Code.AlreadyExists, ['This exists already', 'Choose another name.']],
  [Code.DeadlineExceeded, ['The server takes too long', 'It did not answer in time. Try again.']],
  [Code.InvalidArgument, ['Something in the request is not right', 'Check what you entered.']],
  [Code.NotFound, ['Nothing is here', 'It does not exist, or you have no access to it.']],
  [Code.PermissionDenied, ['You may not do this', 'Ask somebody who has the permission.']],
  [Code.ResourceExhausted, ['Too many requests', 'Wait a moment, then try again.']],
  [Code.Unauthenticated, ['You are not signed in', 'Sign in to continue.']],
  [Code.Unavailable, ['The server is busy', 'Try again in a moment.']],
]);

const UNKNOWN: Words = ['Something went wrong', 'It is not your fault. Try again.'];

/** Puts a failure into words. */
export function explain(failure: MozaiksError): Explanation {
  const [title, text] = BY_REASON[failure.reason] ?? BY_CODE.get(failure.code) ?? UNKNOWN;
  return { title, text: waiting(failure.retryAfterMs) ?? text };
}

function waiting(ms: number | undefined): string | undefined {
  if (ms === undefined || ms < 2_000) return undefined;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 90 ? `Try again in ${seconds} seconds.` : `Try again in ${Math.ceil(seconds / 60)} minutes.`;
}

// Where the server names no field of the form, the reason alone says which one is meant.
const FIELDS_OF: Readonly<Record<string, readonly string[]>> = {
  APP_ID_INVALID: ['app_id'],
  APP_ID_TAKEN: ['app_id'],
  CREDENTIALS_INVALID: ['current_password'],
  EMAIL_INVALID: ['email'],
  EMAIL_TAKEN: ['email'],
  PASSWORD_WEAK: ['password', 'new_password'],
};

// Where a reason means something narrower at one field.
const AT_FIELD: Readonly<Record<string, string>> = {
  current_password: 'This is not your password. Check it and try again.',
};

/** The faults of single fields, by the field's path. */
export type FieldFaults = Readonly<Record<string, string>>;

/** Which of `fields` were refused, and why. */
export function fieldFaults(failure: MozaiksError | undefined, fields: readonly string[]): FieldFaults {
  if (failure === undefined) return {};
  const named = failure.fieldViolations.flatMap((violation) => {
    const field = fieldFor(violation, fields);
    return field === undefined ? [] : [[field, faultText(failure, violation)] as const];
  });
  const implied = FIELDS_OF[failure.reason]?.find((field) => fields.includes(field));
  if (named.length === 0 && implied !== undefined) {
    const { title, text } = explain(failure);
    return { [implied]: AT_FIELD[implied] ?? `${title}. ${text}` };
  }
  return Object.fromEntries(named);
}

/** A violation may name the field from the request's root: `user.profile.display_name` is `profile.display_name`. */
function fieldFor({ field }: FieldViolation, fields: readonly string[]): string | undefined {
  return fields.find((known) => field === known || field.endsWith(`.${known}`));
}

function faultText(failure: MozaiksError, violation: FieldViolation): string {
  const words = BY_REASON[violation.reason] ?? BY_REASON[failure.reason];
  if (words !== undefined) return `${words[0]}. ${words[1]}`;
  return sentence(violation.description || 'This cannot be used');
}

function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
