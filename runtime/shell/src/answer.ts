// Answers of the server that lack what they are about.

import { Code, MozaiksError } from '@mozaiks/client';

/** The part of an answer that it is about. Errors: `ANSWER_UNKNOWN` when it is absent. */
export function given<T>(value: T | undefined, what: string): T {
  if (value !== undefined) return value;
  throw new MozaiksError({ reason: 'ANSWER_UNKNOWN', message: `the answer holds no ${what}`, code: Code.Unimplemented, callId: '' });
}
