// Who is signed in, and the calls made for them. Must not hold state of its own: that is in the session and the core.

import { createContext, type ReactNode, use, useEffect } from 'react';
import type { Account, Core } from '../core';
import type { SessionState } from '../session';
import { useStore } from '../store';

const AuthContext = createContext<Core | undefined>(undefined);

export function AuthProvider({ core, children }: { core: Core; children: ReactNode }) {
  useEffect(() => {
    void core.session.resume();
  }, [core]);
  return <AuthContext value={core}>{children}</AuthContext>;
}

export function useCore(): Core {
  const core = use(AuthContext);
  if (core === undefined) throw new Error('there is no AuthProvider above this component');
  return core;
}

export function useSession(): SessionState {
  return useStore(useCore().session.state);
}

/** The person's own account; read when it is first asked for. */
export function useAccount(): Account {
  const core = useCore();
  const account = useStore(core.account);
  const absent = account.me === undefined && account.failure === undefined;
  useEffect(() => {
    if (absent) void core.loadAccount();
  }, [core, absent]);
  return account;
}
