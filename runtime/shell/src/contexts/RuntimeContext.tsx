// What the shell knows about itself: the app and kind of this origin, the theme, whether there is a network.
// Must not know who is signed in.

import { createContext, type ReactNode, use } from 'react';
import type { Bootstrap } from '../bootstrap';
import { createStore, type Store, useStore } from '../store';
import { readTheme, type Theme, writeTheme } from '../theme';

interface RuntimeState {
  readonly app: string;
  readonly version: string;
  readonly admin: boolean;
  readonly theme: Theme;
  readonly online: boolean;
}

export interface RuntimeStore extends Store<RuntimeState> {
  setTheme(theme: Theme): void;
}

export function createRuntime(bootstrap: Bootstrap): RuntimeStore {
  const store = createStore<RuntimeState>({ ...bootstrap, theme: readTheme(), online: navigator.onLine });
  const patch = (part: Partial<RuntimeState>) => store.set({ ...store.get(), ...part });
  addEventListener('online', () => patch({ online: true }));
  addEventListener('offline', () => patch({ online: false }));
  return {
    ...store,
    setTheme(theme) {
      writeTheme(theme);
      patch({ theme });
    },
  };
}

const RuntimeContext = createContext<RuntimeStore | undefined>(undefined);

export function RuntimeProvider({ runtime, children }: { runtime: RuntimeStore; children: ReactNode }) {
  return <RuntimeContext value={runtime}>{children}</RuntimeContext>;
}

export function useRuntime(): RuntimeState & Pick<RuntimeStore, 'setTheme'> {
  const runtime = use(RuntimeContext);
  if (runtime === undefined) throw new Error('there is no RuntimeProvider above this component');
  return { ...useStore(runtime), setTheme: runtime.setTheme };
}
