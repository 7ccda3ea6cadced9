// The sessions of the person who is signed in, and ending one of them.

import { type Session, SessionState } from '@mozaiks/client/identity';
import { useState } from 'react';
import { toMs } from '../clock';
import { Badge } from '../components/Badge';
import { Button } from '../components/Button';
import { Failure } from '../components/Failure';
import { Icon } from '../components/Icon';
import { MoreButton } from '../components/MoreButton';
import { Loaded } from '../components/Page';
import { Time } from '../components/Time';
import { useCore } from '../contexts/AuthContext';
import { usePaged } from '../paged';
import { useAction } from '../query';

export function Sessions() {
  const core = useCore();
  const [said, setSaid] = useState('');
  const { list, more } = usePaged<Session>('sessions', async (pageToken, signal) => {
    const answer = await core.identity.me.listMySessions({ parent: `${core.home}/me`, pageToken }, signal && { signal });
    return { items: answer.sessions, next: answer.nextPageToken };
  });

  function ended(session: Session): void {
    setSaid(`${nameOf(session)}: the session has ended.`);
    list.reload();
  }

  return (
    <>
      <Loaded query={list} what="your sessions" skeleton={<Bones />}>
        {(sessions) => {
          const alive = sessions.filter((session) => isAlive(session));
          const over = sessions.filter((session) => !isAlive(session));
          return (
            <>
              <ul className="rows" aria-label="Open sessions">
                {alive.map((session) => (
                  <OpenSession key={session.name} session={session} onEnded={ended} />
                ))}
              </ul>
              {over.length > 0 && <PastSessions sessions={over} />}
              <MoreButton more={more} />
            </>
          );
        }}
      </Loaded>
      <p role="status" className="said">
        {said !== '' && (
          <>
            <Icon name="check" />
            {said}
          </>
        )}
      </p>
    </>
  );
}

function OpenSession({ session, onEnded }: { session: Session; onEnded: (session: Session) => void }) {
  const core = useCore();
  const end = useAction(async () => {
    await core.identity.me.revokeMySession({ name: session.name });
    onEnded(session);
  });
  return (
    <li className="row">
      <Icon name="device" />
      <div className="row-text">
        <p className="row-title">
          {nameOf(session)}
          {session.current && <Badge tone="accent">This session</Badge>}
        </p>
        <p className="row-more">
          Signed in <Time at={session.createTime} as="from-now" />
          {' · '}ends <Time at={session.expireTime} as="from-now" />
        </p>
        {end.failure !== undefined && <Failure failure={end.failure} />}
      </div>
      {!session.current && (
        <Button look="danger" pending={end.pending} onClick={end.run} aria-label={`End session of ${nameOf(session)}`}>
          End session
        </Button>
      )}
    </li>
  );
}

function PastSessions({ sessions }: { sessions: readonly Session[] }) {
  return (
    <details className="past">
      <summary>Recently ended ({sessions.length})</summary>
      <ul className="rows">
        {sessions.map((session) => (
          <li key={session.name} className="row">
            <Icon name="device" />
            <div className="row-text">
              <p className="row-title">{nameOf(session)}</p>
              <p className="row-more">
                Signed in <Time at={session.createTime} as="moment" />
              </p>
            </div>
          </li>
        ))}
      </ul>
    </details>
  );
}

function nameOf(session: Session): string {
  return session.deviceName || 'Unnamed device';
}

function isAlive(session: Session, now = Date.now()): boolean {
  if (session.current) return true;
  return session.state === SessionState.ACTIVE && toMs(session.expireTime) > now && toMs(session.idleExpireTime) > now;
}

function Bones() {
  return (
    <>
      <span className="bone row" />
      <span className="bone row" />
    </>
  );
}
