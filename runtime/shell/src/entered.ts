// Apps the person has entered: a short token of their own for each. Must not outlive the person's session.

import { createMozaiks, type MozaiksOptions } from '@mozaiks/client';
import { type EnterAppResponse, type Identity, identity } from '@mozaiks/client/identity';
import { tokenEnd } from './clock';

/** An app that was entered: calls made in it, and what the person may do there. */
export interface Entered {
  readonly identity: Identity;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
}

// A call made now must still find the token valid when it arrives.
const RENEW_BEFORE_MS = 30_000;

/** Enters `target`, and again whenever the token of the last time is about to end. */
export async function enter(core: Identity, home: string, target: string, options: MozaiksOptions): Promise<Entered> {
  let standing: EnterAppResponse = await core.tokens.enterApp({ parent: home, target });
  let endsAt = tokenEnd(standing.accessExpireTime);

  async function renew(): Promise<void> {
    standing = await core.tokens.enterApp({ parent: home, target });
    endsAt = tokenEnd(standing.accessExpireTime);
  }

  async function token(): Promise<string> {
    if (endsAt - Date.now() < RENEW_BEFORE_MS) await renew();
    return standing.accessToken;
  }

  return {
    identity: identity(createMozaiks({ ...options, token, refresh: renew })),
    roles: standing.roles,
    permissions: standing.permissions,
  };
}
