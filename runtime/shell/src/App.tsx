// The shell as a whole: contexts, frames, and the table of its pages. Must not hold a page's content.

import type { ReactNode } from 'react';
import { Gate } from './components/Gate';
import { Blank, Skeleton } from './components/Page';
import { AuthProvider } from './contexts/AuthContext';
import { RuntimeProvider, type RuntimeStore, useRuntime } from './contexts/RuntimeContext';
import type { Core } from './core';
import { ErrorRoot } from './ErrorRoot';
import { Navigation, OfflineBanner } from './Navigation';
import { AppHome } from './pages/AppHome';
import { Apps } from './pages/Apps';
import { Login } from './pages/Login';
import { Me } from './pages/Me';
import { NewApp } from './pages/NewApp';
import { NotFound } from './pages/NotFound';
import { Register } from './pages/Register';
import { type PageRoute, Router } from './Router';
import { type Audience, route } from './routes';
import type { SessionState } from './session';

const ROUTES: readonly PageRoute[] = [
  route('/', 'Your apps', 'members', () => <Apps />),
  route('/apps/new', 'New app', 'members', () => <NewApp />),
  route('/apps/:app', 'App', 'members', ({ app }) => <AppHome key={app} app={app} />),
  route('/me', 'Profile', 'members', () => <Me />),
  route('/login', 'Sign in', 'visitors', () => <Login />),
  route('/register', 'Create your account', 'visitors', () => <Register />),
];

export function App({ core, runtime }: { core: Core; runtime: RuntimeStore }) {
  return (
    <ErrorRoot>
      <AuthProvider core={core}>
        <RuntimeProvider runtime={runtime}>
          <Router
            routes={ROUTES}
            frame={(audience, content) => <Frame audience={audience}>{content}</Frame>}
            unknown={(path) => <NotFound path={path} routes={ROUTES} />}
            waiting={(session) => <Waiting session={session} retry={() => void core.session.resume()} />}
          />
        </RuntimeProvider>
      </AuthProvider>
    </ErrorRoot>
  );
}

function Frame({ audience, children }: { audience: Audience; children: ReactNode }) {
  const { online } = useRuntime();
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <OfflineBanner online={online} />
      {audience === 'visitors' ? (
        <Gate>{children}</Gate>
      ) : (
        <div className="frame">
          <Navigation />
          <main id="main" tabIndex={-1}>
            {children}
          </main>
        </div>
      )}
    </>
  );
}

/** While it is not known who is signed in. */
function Waiting({ session, retry }: { session: SessionState; retry: () => void }) {
  return (
    <div className="page">
      {session.status === 'unknown' ? (
        <>
          <title>Mozaiks</title>
          <h1 className="unseen" tabIndex={-1}>Mozaiks</h1>
          <Blank failure={session.failure} retry={retry} />
        </>
      ) : (
        <Skeleton what="your session">
          <span className="bone title" />
          <span className="bone" />
          <span className="bone short" />
        </Skeleton>
      )}
    </div>
  );
}
