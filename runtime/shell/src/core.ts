// The shell's ways to the server, made once: one for signing in, one for calls of the person, one per entered app.

import { createMozaiks, MozaiksError } from '@mozaiks/client';
import { type App, type GetMeResponse, type Identity, identity, type User } from '@mozaiks/client/identity';
import { given } from './answer';
import { deviceName } from './device';
import { enter, type Entered } from './entered';
import { Session, type SignInAsk } from './session';
import { createStore, type Store } from './store';

/** The person's own account, as last read. */
export interface Account {
  readonly me: GetMeResponse | undefined;
  readonly failure: MozaiksError | undefined;
}

/** An app with what the person may do in it. */
export interface EnteredApp extends Entered {
  readonly app: App;
}

export interface Core {
  /** The app of this origin, `apps/{app}`. */
  readonly home: string;
  readonly session: Session;
  /** Calls of the person who is signed in. */
  readonly identity: Identity;
  readonly account: Store<Account>;
  /** Reads the account; the outcome is in `account`. */
  loadAccount(): Promise<void>;
  /** Puts a newer version of the account in place. */
  keepUser(user: User): void;
  /** Sets a new password; everything else the person is signed in with ends. */
  changePassword(currentPassword: string, newPassword: string): Promise<void>;
  /** Ends everything the person is signed in with but this browser. */
  endOtherSessions(): Promise<void>;
  /** Signs the person in again with their password, and ends the session from before. */
  signInAgain(ask: SignInAsk, requestId: string): Promise<void>;
  /** Enters an app, `apps/{app}`, and reads it. */
  open(target: string): Promise<EnteredApp>;
}

export function createCore(app: string, version: string): Core {
  const home = `apps/${app}`;
  const way = { baseUrl: location.origin, client: `mozaiks-shell/${version}` };
  const door = identity(createMozaiks({ ...way, session: 'cookie' }));
  const session = new Session(door.auth, home, deviceName(navigator.userAgent));
  const core = identity(createMozaiks({ ...way, token: () => session.token(), refresh: () => session.renew() }));
  // The answer of these calls is a session, which the gateway keeps in the cookie.
  const replacing = (token: string | undefined) => identity(createMozaiks({ ...way, session: 'cookie', token: () => token })).me;
  const account = createStore<Account>({ me: undefined, failure: undefined });

  // Whoever signs in next starts without the account of whoever was here before.
  session.state.subscribe(() => account.set({ me: undefined, failure: undefined }));

  return {
    home,
    session,
    identity: core,
    account,
    async loadAccount() {
      const asked = session.state.get();
      try {
        const me = await core.me.getMe({ name: `${home}/me` });
        if (session.state.get() === asked) account.set({ me, failure: undefined });
      } catch (cause) {
        if (session.state.get() === asked) account.set({ ...account.get(), failure: MozaiksError.from(cause) });
      }
    },
    keepUser(user) {
      const { me } = account.get();
      if (me !== undefined) account.set({ me: { ...me, user }, failure: undefined });
    },
    changePassword(currentPassword, newPassword) {
      const ask = { name: `${home}/me`, currentPassword, newPassword };
      return session.replace((token) => replacing(token).changePassword(ask));
    },
    endOtherSessions() {
      return session.replace((token) => replacing(token).revokeMyOtherSessions({ parent: `${home}/me` }));
    },
    async signInAgain(ask, requestId) {
      const before = await session.signInAgain(ask, requestId);
      if (before !== undefined) await core.me.revokeMySession({ name: before.replace('/sessions/', '/me/sessions/') });
    },
    async open(target) {
      const entered = await enter(core, home, target, way);
      const { app: seen } = await entered.identity.apps.getApp({ name: target });
      return { ...entered, app: given(seen, 'app') };
    },
  };
}
