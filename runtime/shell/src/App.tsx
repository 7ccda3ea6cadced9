// The shell as a whole: contexts, frames, and the table of its pages. Must not hold a page's content.

import type { ReactNode } from 'react';
import { Gate } from './components/Gate';
import { Blank, Skeleton } from './components/Page';
import { AuthProvider } from './contexts/AuthContext';
import { RuntimeProvider, type RuntimeStore, useRuntime } from './contexts/RuntimeContext';
import type { Core } from './core';
import { ErrorRoot } from './ErrorRoot';
import { Navigation, OfflineBanner } from './Navigation';
import { Again } from './pages/Again';
import { Apps } from './pages/Apps';
import { AppFrame } from './pages/app/AppFrame';
import { AppSessions } from './pages/app/AppSessions';
import { DangerZone } from './pages/app/DangerZone';
import { NewPerson } from './pages/app/NewPerson';
import { Overview } from './pages/app/Overview';
import { People } from './pages/app/People';
import { Person } from './pages/app/Person';
import { SigningKeys } from './pages/app/SigningKeys';
import { Login } from './pages/Login';
import { Me } from './pages/Me';
import { NewApp } from './pages/NewApp';
import { NotFound } from './pages/NotFound';
import { AdminOnly } from './pages/operator/AdminOnly';
import { AllApps } from './pages/operator/AllApps';
import { Installation } from './pages/operator/Installation';
import { Register } from './pages/Register';
import { type PageRoute, Router } from './Router';
import { type Audience, route } from './routes';
import type { SessionState } from './session';

const ROUTES: readonly PageRoute[] = [
  route('/', 'Your apps', 'members', () => <Apps />),
  route('/apps/new', 'New app', 'members', () => <NewApp />),
  route('/apps/:app', 'App', 'members', ({ app }) => <AppFrame key={app} id={app}>{(open) => <Overview app={open} />}</AppFrame>),
  route('/apps/:app/people', 'People', 'members', ({ app }) => (
    <AppFrame key={app} id={app} part="People">{(open) => <People app={open} />}</AppFrame>
  )),
  route('/apps/:app/people/new', 'New person', 'members', ({ app }) => (
    <AppFrame key={app} id={app} part="New person">{(open) => <NewPerson app={open} />}</AppFrame>
  )),
  route('/apps/:app/people/:user', 'Person', 'members', ({ app, user }) => (
    <AppFrame key={app} id={app} part="Person">{(open) => <Person key={user} app={open} user={user} />}</AppFrame>
  )),
  route('/apps/:app/sessions', 'Sessions', 'members', ({ app }) => (
    <AppFrame key={app} id={app} part="Sessions">{(open) => <AppSessions app={open} />}</AppFrame>
  )),
  route('/apps/:app/keys', 'Signing keys', 'members', ({ app }) => (
    <AppFrame key={app} id={app} part="Signing keys">{(open) => <SigningKeys app={open} />}</AppFrame>
  )),
  route('/apps/:app/danger', 'Danger zone', 'members', ({ app }) => (
    <AppFrame key={app} id={app} part="Danger zone">{(open) => <DangerZone app={open} />}</AppFrame>
  )),
  route('/operator', 'Installation', 'members', () => <AdminOnly title="Installation"><Installation /></AdminOnly>),
  route('/operator/apps', 'All apps', 'members', () => <AdminOnly title="All apps"><AllApps /></AdminOnly>),
  route('/me', 'Profile', 'members', () => <Me />),
  route('/again', 'Sign in again', 'members', () => <Again />),
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
