// One person of an app: profile, sessions, and whether they may sign in.

import { type Session, type User, UserState } from '@mozaiks/client/identity';
import { useState } from 'react';
import { given } from '../../answer';
import { Badge } from '../../components/Badge';
import { Button } from '../../components/Button';
import { CopyButton } from '../../components/CopyButton';
import { Fact, Facts } from '../../components/Facts';
import { Failure } from '../../components/Failure';
import { Icon } from '../../components/Icon';
import { Loaded } from '../../components/Page';
import { RowBones } from '../../components/RowBones';
import { Section } from '../../components/Section';
import { Time } from '../../components/Time';
import { UserBadge } from '../../components/UserBadge';
import { usePaged } from '../../paged';
import { useAction, useQuery } from '../../query';
import { Link } from '../../Router';
import { build } from '../../routes';
import { type ProfileChange, ProfileForm } from '../ProfileForm';
import { SessionList } from '../SessionList';
import type { OpenApp } from './AppFrame';
import { Needs } from './Needs';
import { idOf, personName } from './person';

export function Person({ app, user }: { app: OpenApp; user: string }) {
  return (
    <Needs app={app} permission="identity.users.read" to="see the people of this app">
      <Link to={build('/apps/:app/people', { app: app.id })} className="back">
        <Icon name="back" />
        All people
      </Link>
      <PersonPage app={app} name={`${app.app.name}/users/${user}`} />
    </Needs>
  );
}

function PersonPage({ app, name }: { app: OpenApp; name: string }) {
  const [newer, setNewer] = useState<User>();
  const query = useQuery(name, async (signal) => given((await app.identity.users.getUser({ name }, { signal })).user, 'person'));
  const keep = (user: User | undefined) => user !== undefined && setNewer(user);
  const refresh = async () => void keep((await app.identity.users.getUser({ name })).user);
  return (
    <Loaded query={{ ...query, data: newer ?? query.data }} what="the person" skeleton={<RowBones />}>
      {(user) => (
        <>
          <PersonHead user={user} />
          <Section title="Profile" about="What others in the app see of this person.">
            <PersonFacts user={user} />
            <Profile app={app} user={user} keep={keep} refresh={refresh} />
          </Section>
          <Section title="Sessions" about="Where this person is signed in to the app.">
            <Needs app={app} permission="identity.sessions.read" to="see the sessions of this app">
              {/* Disabling ends sessions, so they are read anew. */}
              <PersonSessions key={user.state} app={app} user={user} />
            </Needs>
          </Section>
          <Section title="Access" about="Whether this person may sign in.">
            <Needs app={app} permission="identity.users.write" to="disable or enable people of this app">
              <Access app={app} user={user} keep={keep} />
            </Needs>
          </Section>
        </>
      )}
    </Loaded>
  );
}

function PersonHead({ user }: { user: User }) {
  return (
    <div className="person-head">
      <h2>{personName(user)}</h2>
      {user.state === UserState.ACTIVE ? <Badge tone="good">May sign in</Badge> : <UserBadge user={user} />}
    </div>
  );
}

function PersonFacts({ user }: { user: User }) {
  return (
    <Facts>
      <Fact what="E-mail">
        <span className="breaks">{user.email}</span>
        {user.emailVerified ? <Badge tone="good">Verified</Badge> : <Badge>Not verified</Badge>}
      </Fact>
      <Fact what="Joined">
        <Time at={user.createTime} as="moment" />
      </Fact>
      <Fact what="Id">
        <code>{idOf(user.name)}</code>
        <CopyButton text={idOf(user.name)} what="id" />
      </Fact>
    </Facts>
  );
}

interface ChangeProps {
  readonly app: OpenApp;
  readonly user: User;
  readonly keep: (user: User | undefined) => void;
}

function Profile({ app, user, keep, refresh }: ChangeProps & { refresh: () => Promise<void> }) {
  async function save({ user: wish, updateMask }: ProfileChange, requestId: string): Promise<void> {
    keep((await app.identity.users.updateUser({ user: { ...wish, name: user.name }, updateMask, requestId })).user);
  }
  return (
    <Needs app={app} permission="identity.users.write" to="change the people of this app">
      <ProfileForm user={user} save={save} refresh={refresh} />
    </Needs>
  );
}

function PersonSessions({ app, user }: { app: OpenApp; user: User }) {
  const sessions = usePaged<Session>(`sessions of ${user.name}`, async (pageToken, signal) => {
    const ask = { parent: app.app.name, user: user.name, pageToken };
    const answer = await app.identity.sessions.listSessions(ask, signal && { signal });
    return { items: answer.sessions, next: answer.nextPageToken };
  });
  const end = ({ name }: Session) => app.identity.sessions.revokeSession({ name });
  return (
    <SessionList
      sessions={sessions}
      what="their sessions"
      endedBefore={user.state === UserState.ACTIVE ? 0 : Number.POSITIVE_INFINITY}
      end={app.may('identity.sessions.revoke') ? end : undefined}
    />
  );
}

function Access({ app, user, keep }: ChangeProps) {
  const { users } = app.identity;
  const isDisabled = user.state === UserState.DISABLED;
  const change = useAction(async () => {
    const ask = { name: user.name };
    keep((isDisabled ? await users.enableUser(ask) : await users.disableUser(ask)).user);
  });
  if (user.state === UserState.DELETED) return <Deleted app={app} user={user} keep={keep} />;
  return (
    <>
      <p>
        {isDisabled
          ? 'This person cannot sign in. Enabling lets them sign in again with what they had; the sessions that ended stay ended.'
          : 'Disabling signs this person out everywhere at once, and they cannot sign in until somebody enables them. Nothing of theirs is deleted.'}
      </p>
      {change.failure !== undefined && <Failure failure={change.failure} />}
      <div className="actions">
        <Button look={isDisabled ? 'plain' : 'danger'} pending={change.pending} onClick={change.run}>
          {isDisabled ? 'Enable this person' : 'Disable this person'}
        </Button>
      </div>
    </>
  );
}

function Deleted({ app, user, keep }: ChangeProps) {
  const back = useAction(async () => keep((await app.identity.users.undeleteUser({ name: user.name })).user));
  return (
    <>
      <p>
        This person is deleted and cannot sign in. Until <Time at={user.purgeTime} as="day" /> that can be taken back; then
        everything personal is gone for good.
      </p>
      {back.failure !== undefined && <Failure failure={back.failure} />}
      <div className="actions">
        <Button pending={back.pending} onClick={back.run}>
          Take the deletion back
        </Button>
      </div>
    </>
  );
}
