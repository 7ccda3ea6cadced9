// The sessions of everybody in an app.

import type { Session, User } from '@mozaiks/client/identity';
import { useRef } from 'react';
import { usePaged } from '../../paged';
import { useQuery } from '../../query';
import { Link } from '../../Router';
import { build } from '../../routes';
import { SessionList } from '../SessionList';
import type { OpenApp } from './AppFrame';
import { Needs } from './Needs';
import { idOf, personName } from './person';

const PAGE_SIZE = 25;

export function AppSessions({ app }: { app: OpenApp }) {
  return (
    <Needs app={app} permission="identity.sessions.read" to="see the sessions of this app">
      <SessionsOfAll app={app} />
    </Needs>
  );
}

function SessionsOfAll({ app }: { app: OpenApp }) {
  const people = useRef(new Map<string, Promise<User | undefined>>());
  const sessions = usePaged<Session>('sessions', async (pageToken, signal) => {
    const ask = { parent: app.app.name, pageSize: PAGE_SIZE, pageToken };
    const answer = await app.identity.sessions.listSessions(ask, signal && { signal });
    return { items: answer.sessions, next: answer.nextPageToken };
  });

  /** Each person is read once, however many sessions they have. */
  function read(name: string): Promise<User | undefined> {
    const asked = people.current.get(name) ?? app.identity.users.getUser({ name }).then(({ user }) => user);
    people.current.set(name, asked);
    return asked;
  }

  const end = ({ name }: Session) => app.identity.sessions.revokeSession({ name });
  return (
    <SessionList
      sessions={sessions}
      what="the sessions of this app"
      end={app.may('identity.sessions.revoke') ? end : undefined}
      whose={({ user }) => (app.may('identity.users.read') ? <Whose app={app} name={user} read={read} /> : <code>{idOf(user)}</code>)}
    />
  );
}

function Whose({ app, name, read }: { app: OpenApp; name: string; read: (name: string) => Promise<User | undefined> }) {
  const { data } = useQuery(name, () => read(name));
  const id = idOf(name);
  return <Link to={build('/apps/:app/people/:user', { app: app.id, user: id })}>{data === undefined ? id : personName(data)}</Link>;
}
