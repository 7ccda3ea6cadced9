// One app: what it is, and what the person may do in it. Later resources of an app get pages beside this one.

import { Code } from '@mozaiks/client';
import { type App, AppMode, AppState } from '@mozaiks/client/identity';
import { Badge } from '../components/Badge';
import { CopyButton } from '../components/CopyButton';
import { AppPicture } from '../components/Mosaic';
import { Loaded, Page } from '../components/Page';
import { Time } from '../components/Time';
import { useCore } from '../contexts/AuthContext';
import type { EnteredApp } from '../core';
import { BackToApps } from '../Navigation';
import { inWords } from '../permissions';
import { useQuery } from '../query';

export function AppHome({ app: id }: { app: string }) {
  const core = useCore();
  const query = useQuery(id, () => core.open(`apps/${id}`));
  const absent = query.failure?.code === Code.NotFound || query.failure?.code === Code.InvalidArgument;
  const app = query.data?.app;

  return (
    <Page
      back={<BackToApps />}
      picture={!absent && <AppPicture id={id} />}
      title={absent ? 'App not found' : app?.displayName || id}
      lead={absent ? <p>There is no app <code className="path">{id}</code>, or you have no access to it.</p> : app && <Standing app={app} />}
    >
      {!absent && (
        <Loaded query={query} what="the app" skeleton={<Bones />}>
          {(entered) => <Overview id={id} entered={entered} />}
        </Loaded>
      )}
    </Page>
  );
}

function Standing({ app }: { app: App }) {
  return (
    <p className="badges">
      {app.state === AppState.ACTIVE ? <Badge tone="good">Active</Badge> : <Badge>Not in use</Badge>}
      {app.mode === AppMode.TEST ? <Badge tone="warn">Test</Badge> : <Badge>Live</Badge>}
    </p>
  );
}

function Overview({ id, entered: { app, roles, permissions } }: { id: string; entered: EnteredApp }) {
  return (
    <>
      {app.description !== '' && <p className="prose">{app.description}</p>}
      <div className="panels">
        <section className="panel" aria-labelledby="about">
          <h2 id="about">About</h2>
          <dl className="facts">
            <div>
              <dt>Address</dt>
              <dd>
                <code>{id}</code>
                <CopyButton text={id} what="address" />
              </dd>
            </div>
            <div>
              <dt>Created</dt>
              <dd>
                <Time at={app.createTime} as="moment" />
              </dd>
            </div>
            <div>
              <dt>Last changed</dt>
              <dd>
                <Time at={app.updateTime} as="moment" />
              </dd>
            </div>
          </dl>
        </section>
        <section className="panel" aria-labelledby="glance">
          <h2 id="glance">At a glance</h2>
          <dl className="facts">
            <div>
              <dt>{roles.length === 1 ? 'Your role' : 'Your roles'}</dt>
              <dd className="badges">
                {roles.map((role) => (
                  <Badge key={role} tone="accent">
                    {role.charAt(0).toUpperCase() + role.slice(1)}
                  </Badge>
                ))}
                {roles.length === 0 && 'None'}
              </dd>
            </div>
            <div>
              <dt>State</dt>
              <dd>{app.state === AppState.ACTIVE ? 'The app is in use' : 'The app is not in use'}</dd>
            </div>
            <div>
              <dt>Mode</dt>
              <dd>{app.mode === AppMode.TEST ? 'For trying things out' : 'For real people and real data'}</dd>
            </div>
          </dl>
        </section>
        <section className="panel whole" aria-labelledby="may">
          <h2 id="may">What you may do</h2>
          {permissions.length === 0 ? <p>Nothing yet. An owner of the app can change that.</p> : <Grants permissions={permissions} />}
        </section>
      </div>
    </>
  );
}

function Grants({ permissions }: { permissions: readonly string[] }) {
  return (
    <>
      <ul className="grants">
        {inWords(permissions).map(({ what, may }) => (
          <li key={what}>
            <span className="grant-what">{what}</span>
            <span className="grant-may">{may}</span>
          </li>
        ))}
      </ul>
      <details className="past">
        <summary>As programs name them ({permissions.length})</summary>
        <ul className="exact">
          {permissions.map((permission) => (
            <li key={permission}>
              <code>{permission}</code>
            </li>
          ))}
        </ul>
      </details>
    </>
  );
}

function Bones() {
  return (
    <div className="panels">
      <span className="bone panel" />
      <span className="bone panel" />
    </div>
  );
}
