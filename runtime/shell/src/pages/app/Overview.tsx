// What an app is, what it is called, whether it is in use, and what the person may do in it.

import { AppMode, AppState } from '@mozaiks/client/identity';
import { Badge } from '../../components/Badge';
import { CopyButton } from '../../components/CopyButton';
import { Fact, Facts } from '../../components/Facts';
import { Section } from '../../components/Section';
import { Time } from '../../components/Time';
import { useCore } from '../../contexts/AuthContext';
import { inWords } from '../../permissions';
import type { OpenApp } from './AppFrame';
import { DescriptionForm } from './DescriptionForm';
import { Needs } from './Needs';
import { Pausing } from './Pausing';

const STATES: ReadonlyMap<AppState, string> = new Map([
  [AppState.ACTIVE, 'The app is in use'],
  [AppState.PAUSED, 'Closed for the time being'],
  [AppState.DELETED, 'Deleted, and kept for 30 days'],
]);

export function Overview({ app: open }: { app: OpenApp }) {
  const core = useCore();
  const { app, permissions } = open;
  const isDeleted = app.state === AppState.DELETED;
  const isReserved = app.name === core.home;
  return (
    <>
      {(isDeleted || !open.may('identity.apps.write')) && app.description !== '' && <p className="prose">{app.description}</p>}
      <div className="panels">
        <About open={open} />
        <Glance open={open} />
      </div>
      {!isDeleted && (
        <>
          <Section title="Name and description" about="What the app is called, and what it says it is for.">
            <Needs app={open} permission="identity.apps.write" to="change this app">
              <DescriptionForm open={open} />
            </Needs>
          </Section>
          <Section title="Pause" about="Closes the app for a while. Nothing is lost, and its staff still gets in.">
            {isReserved ? (
              <p>This app carries the installation: it can be neither paused nor deleted.</p>
            ) : (
              <Needs app={open} permission="identity.apps.write" to="pause or resume this app">
                <Pausing open={open} />
              </Needs>
            )}
          </Section>
        </>
      )}
      <Section title="What you may do" about="What your roles in this app permit.">
        {permissions.length === 0 ? <p>Nothing yet. An owner of the app can change that.</p> : <Grants permissions={permissions} />}
      </Section>
    </>
  );
}

function About({ open: { id, app } }: { open: OpenApp }) {
  return (
    <section className="panel" aria-labelledby="about">
      <h2 id="about">About</h2>
      <Facts>
        <Fact what="Address">
          <code>{id}</code>
          <CopyButton text={id} what="address" />
        </Fact>
        <Fact what="Created">
          <Time at={app.createTime} as="moment" />
        </Fact>
        <Fact what="Last changed">
          <Time at={app.updateTime} as="moment" />
        </Fact>
      </Facts>
    </section>
  );
}

function Glance({ open: { app, roles } }: { open: OpenApp }) {
  return (
    <section className="panel" aria-labelledby="glance">
      <h2 id="glance">At a glance</h2>
      <Facts>
        <Fact what={roles.length === 1 ? 'Your role' : 'Your roles'}>
          <span className="badges">
            {roles.map((role) => (
              <Badge key={role} tone="accent">
                {role.charAt(0).toUpperCase() + role.slice(1)}
              </Badge>
            ))}
          </span>
          {roles.length === 0 && 'None'}
        </Fact>
        <Fact what="State">{STATES.get(app.state) ?? 'The app is not in use'}</Fact>
        <Fact what="Mode">{app.mode === AppMode.TEST ? 'For trying things out' : 'For real people and real data'}</Fact>
      </Facts>
    </section>
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
