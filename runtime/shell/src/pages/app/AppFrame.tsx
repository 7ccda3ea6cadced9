// What the pages of one app share: entering it, its heading and state, the way between its pages.

import { Code } from '@mozaiks/client';
import { type App, AppState } from '@mozaiks/client/identity';
import { type ReactNode, useState } from 'react';
import { AppBadges } from '../../components/AppBadges';
import { Icon } from '../../components/Icon';
import { AppPicture } from '../../components/Mosaic';
import { Loaded, Page } from '../../components/Page';
import { Tabs } from '../../components/Tabs';
import { Time } from '../../components/Time';
import { useCore } from '../../contexts/AuthContext';
import type { EnteredApp } from '../../core';
import { BackToApps } from '../../Navigation';
import { covers } from '../../permissions';
import { useQuery } from '../../query';
import { build } from '../../routes';

/** An app that was entered, as its pages use it. */
export interface OpenApp extends EnteredApp {
  readonly id: string;
  /** Whether the person holds a permission here. */
  may(permission: string): boolean;
  /** Puts a newer version of the app in place. */
  keep(app: App | undefined): void;
  /** Reads the newest version of the app. */
  refresh(): Promise<void>;
}

const TABS = [
  { pattern: '/apps/:app', label: 'Overview', permission: undefined },
  { pattern: '/apps/:app/people', label: 'People', permission: 'identity.users.read' },
  { pattern: '/apps/:app/sessions', label: 'Sessions', permission: 'identity.sessions.read' },
  { pattern: '/apps/:app/keys', label: 'Signing keys', permission: 'identity.signing_keys.read' },
  { pattern: '/apps/:app/danger', label: 'Danger zone', permission: 'identity.apps.delete' },
] as const;

/** `part` names the page among those of the app. */
export function AppFrame({ id, part, children }: { id: string; part?: string; children: (app: OpenApp) => ReactNode }) {
  const core = useCore();
  const query = useQuery(id, () => core.open(`apps/${id}`));
  const absent = query.failure?.code === Code.NotFound || query.failure?.code === Code.InvalidArgument;
  const open = useOpenApp(id, query.data);

  return (
    <Page
      back={<BackToApps />}
      picture={!absent && <AppPicture id={id} />}
      title={absent ? 'App not found' : open?.app.displayName || id}
      part={absent ? undefined : part}
      lead={absent ? <p>There is no app <code className="path">{id}</code>, or you have no access to it.</p> : open && <AppBadges app={open.app} />}
    >
      {!absent && (
        <Loaded query={{ ...query, data: open }} what="the app" skeleton={<Bones />}>
          {(app) => (
            <>
              <Tabs label="This app" tabs={tabsOf(app)} />
              <Standing app={app.app} />
              <div className="page-body">{children(app)}</div>
            </>
          )}
        </Loaded>
      )}
    </Page>
  );
}

function useOpenApp(id: string, entered: EnteredApp | undefined): OpenApp | undefined {
  // A newer version belongs to the app as it was entered.
  const [newer, setNewer] = useState<{ of: EnteredApp; app: App }>();
  if (entered === undefined) return undefined;
  const keep = (app: App | undefined) => app !== undefined && setNewer({ of: entered, app });
  return {
    ...entered,
    id,
    app: newer?.of === entered ? newer.app : entered.app,
    may: (permission) => covers(entered.permissions, permission),
    keep,
    async refresh() {
      keep((await entered.identity.apps.getApp({ name: `apps/${id}` })).app);
    },
  };
}

function tabsOf(app: OpenApp) {
  const seen = TABS.filter(({ permission }) => permission === undefined || app.may(permission));
  return seen.map(({ pattern, label }) => ({ to: build(pattern, { app: app.id }), label }));
}

/** Says so while the app is closed to its people. */
function Standing({ app }: { app: App }) {
  if (app.state === AppState.PAUSED) {
    return (
      <div className="note warn">
        <Icon name="pause" />
        <div className="note-text">
          <p className="note-title">This app is paused</p>
          <p>{app.pauseReason}</p>
          <p className="note-more">Until it is resumed nobody signs in to it. Its staff still gets in.</p>
        </div>
      </div>
    );
  }
  if (app.state === AppState.DELETED) {
    return (
      <div className="note danger">
        <Icon name="alert" />
        <div className="note-text">
          <p className="note-title">This app is deleted</p>
          <p>
            Since <Time at={app.deleteTime} as="moment" />. Until <Time at={app.purgeTime} as="day" /> the deletion can be taken back.
          </p>
        </div>
      </div>
    );
  }
  return null;
}

function Bones() {
  return (
    <div className="panels">
      <span className="bone panel" />
      <span className="bone panel" />
    </div>
  );
}
