// Who is signed in, in this tab and in all others: holds the access token in memory, renews it once for all tabs.
// Must not know components, and must never put a token where it outlives the tab.

import { Code, MozaiksError } from '@mozaiks/client';
import type { Identity, SessionTokens } from '@mozaiks/client/identity';
import { given } from './answer';
import { tokenEnd } from './clock';
import { createStore, type Store } from './store';

/** Why nobody is signed in, when that is worth telling. */
export type Notice = 'ended' | 'reused' | 'signed-out' | 'signed-out-elsewhere';

export type SessionState =
  | { readonly status: 'loading' }
  | { readonly status: 'unknown'; readonly failure: MozaiksError }
  | { readonly status: 'anonymous'; readonly notice?: Notice }
  | { readonly status: 'authenticated'; readonly user: string };

/** What a person fills in to sign in. */
export interface SignInAsk {
  readonly email: string;
  readonly password: string;
  readonly remember: boolean;
}

/** What a person fills in to register. */
export interface RegisterAsk extends SignInAsk {
  readonly displayName: string;
  readonly invitation: string;
}

interface Access {
  readonly token: string;
  readonly session: string;
  readonly user: string;
  readonly endsAt: number;
}

// What a sign-in leads to. A step this version does not know has no `value`.
type SignedIn = { readonly case: 'session'; readonly value: SessionTokens } | { readonly case: undefined; readonly value?: undefined };

type News =
  | { readonly kind: 'access'; readonly access: Access }
  | { readonly kind: 'over'; readonly notice: Notice };

const LOCK = 'mozaiks.session';
// A call made now must still find the token valid when it arrives.
const RENEW_BEFORE_MS = 30_000;
const WORN_OUT: ReadonlySet<string> = new Set(['TOKEN_EXPIRED', 'TOKEN_REVOKED', 'SESSION_ENDED']);
const OVER: Readonly<Record<string, Notice>> = { SESSION_ENDED: 'ended', TOKEN_REVOKED: 'ended', REFRESH_REUSED: 'reused' };

/** The session of this browser with the app `parent`; `deviceName` is what the person's session list calls the browser. */
export class Session {
  readonly state: Store<SessionState> = createStore<SessionState>({ status: 'loading' });
  readonly #auth: Identity['auth'];
  readonly #parent: string;
  readonly #deviceName: string;
  readonly #tabs = new BroadcastChannel(LOCK);
  #access: Access | undefined;
  // Raised whenever somebody signs in or out, so that an answer to an earlier question is dropped.
  #era = 0;

  constructor(auth: Identity['auth'], parent: string, deviceName: string) {
    this.#auth = auth;
    this.#parent = parent;
    this.#deviceName = deviceName;
    this.#tabs.onmessage = ({ data }: MessageEvent<News>) => this.#hear(data);
  }

  /** Takes the session up again that the browser's cookie stands for. */
  async resume(): Promise<void> {
    if (this.state.get().status === 'unknown') this.state.set({ status: 'loading' });
    try {
      await this.#refresh(this.#access);
    } catch (cause) {
      if (this.state.get().status === 'loading') this.state.set({ status: 'unknown', failure: MozaiksError.from(cause) });
    }
  }

  async signIn({ email, password, remember }: SignInAsk, requestId: string): Promise<void> {
    const ask = {
      parent: this.#parent,
      identifier: { kind: { case: 'email', value: email } },
      check: { kind: { case: 'password', value: password } },
      remember,
      deviceName: this.#deviceName,
      requestId,
    } as const;
    await this.#open(() => this.#auth.signIn(ask));
  }

  async register({ displayName, ...given }: RegisterAsk, requestId: string): Promise<void> {
    const ask = { ...given, parent: this.#parent, profile: { displayName }, deviceName: this.#deviceName, requestId };
    await this.#open(() => this.#auth.register(ask));
  }

  /** Signs the same person in again, so that the sign-in is a fresh one. Answers the name of the session it replaces. */
  async signInAgain(ask: SignInAsk, requestId: string): Promise<string | undefined> {
    const before = this.#access?.session;
    await this.signIn(ask, requestId);
    return before === this.#access?.session ? undefined : before;
  }

  /**
   * Takes the session that `call` answers in place of the present one, in every tab. `call` gets the access token of the
   * present one and must not ask this object for another: the session does not change while it runs.
   */
  async replace(call: (token: string | undefined) => Promise<{ readonly session?: SessionTokens | undefined }>): Promise<void> {
    const token = await this.token();
    try {
      await this.#open(async () => ({ result: opened((await call(token)).session) }));
    } catch (cause) {
      const failed = MozaiksError.from(cause);
      // Renewing either finds that the session is over, and says so everywhere, or makes the next attempt work.
      if (failed.code === Code.Unauthenticated && WORN_OUT.has(failed.reason)) await this.renew();
      throw failed;
    }
  }

  /** Ends the session on the server, then in every tab. Fails when the server could not be told. */
  async signOut(): Promise<void> {
    await alone(async () => {
      try {
        await this.#auth.signOut({ parent: this.#parent });
      } catch (cause) {
        const failed = MozaiksError.from(cause);
        if (!isOver(failed)) throw failed;
      }
      this.#drop('signed-out');
      this.#tell({ kind: 'over', notice: 'signed-out-elsewhere' });
    });
  }

  /** The access token of the next call, renewed when it is about to end. */
  async token(): Promise<string | undefined> {
    const access = this.#access;
    if (access !== undefined && access.endsAt - Date.now() < RENEW_BEFORE_MS) await this.#refresh(access);
    return this.#access?.token;
  }

  /** Replaces an access token that was refused. */
  renew(): Promise<void> {
    return this.#refresh(this.#access);
  }

  async #refresh(stale: Access | undefined): Promise<void> {
    const began = this.#era;
    await alone(async () => {
      // Another tab has renewed, or somebody has signed in or out, while this one waited.
      if (this.#era !== began || (this.#access !== undefined && this.#access !== stale)) return;
      try {
        const { session } = await this.#auth.refreshSession({ parent: this.#parent });
        if (this.#era === began) this.#adopt(given(session, 'session'));
      } catch (cause) {
        const failed = MozaiksError.from(cause);
        if (this.#era === began && isOver(failed)) this.#end(OVER[failed.reason]);
        throw failed;
      }
    });
  }

  async #open(call: () => Promise<{ result: SignedIn }>): Promise<void> {
    await alone(async () => {
      const { result } = await call();
      const tokens = given(result.value, 'session');
      this.#era += 1;
      this.#adopt(tokens);
    });
  }

  #adopt(tokens: SessionTokens): void {
    const { accessToken: token, session, user } = tokens;
    const access = { token, session, user, endsAt: tokenEnd(tokens.accessExpireTime) };
    this.#hold(access);
    this.#tell({ kind: 'access', access });
  }

  #hold(access: Access): void {
    this.#access = access;
    const seen = this.state.get();
    if (seen.status === 'authenticated' && seen.user === access.user) return;
    this.state.set({ status: 'authenticated', user: access.user });
  }

  #end(notice: Notice | undefined): void {
    this.#drop(notice);
    if (notice !== undefined) this.#tell({ kind: 'over', notice });
  }

  #drop(notice: Notice | undefined): void {
    this.#era += 1;
    this.#access = undefined;
    this.state.set(notice === undefined ? { status: 'anonymous' } : { status: 'anonymous', notice });
  }

  #hear(news: News): void {
    if (news.kind === 'access') {
      if (this.#access?.user !== news.access.user) this.#era += 1;
      this.#hold(news.access);
    } else if (this.state.get().status !== 'anonymous') {
      this.#drop(news.notice);
    }
  }

  #tell(news: News): void {
    this.#tabs.postMessage(news);
  }
}

/** The cookie is missing, worn out or refused: asking again does not help. */
function isOver(failed: MozaiksError): boolean {
  return failed.code === Code.Unauthenticated || failed.code === Code.InvalidArgument;
}

function opened(value: SessionTokens | undefined): SignedIn {
  return value === undefined ? { case: undefined } : { case: 'session', value };
}

/** Runs while no other tab of this origin does: the cookie is written by one answer at a time. */
async function alone(run: () => Promise<void>): Promise<void> {
  await navigator.locks.request(LOCK, run);
}
