// Sessions as rows, and ending one of them. Must not know whose they are.

import { type Session, SessionState } from '@mozaiks/client/identity';
import { type ReactNode, useState } from 'react';
import { toMs } from '../clock';
import { Badge } from '../components/Badge';
import { Button } from '../components/Button';
import { Failure } from '../components/Failure';
import { Icon } from '../components/Icon';
import { MoreButton } from '../components/MoreButton';
import { Loaded } from '../components/Page';
import { RowBones } from '../components/RowBones';
import { Said } from '../components/Said';
import { Time } from '../components/Time';
import type { Paged } from '../paged';
import { useAction } from '../query';

interface SessionListProps {
  readonly sessions: Paged<Session>;
  /** What is listed, as a person would call it: `your sessions`. */
  readonly what: string;
  /** Ends a session; absent where the person may not. */
  readonly end?: ((session: Session) => Promise<unknown>) | undefined;
  /** Whose session it is, where that differs between rows. */
  readonly whose?: ((session: Session) => ReactNode) | undefined;
  /** Whatever was opened before this moment, in milliseconds, is over, whether it says so itself or not. */
  readonly endedBefore?: number;
  /** Stands below the open sessions, for a person who has several. */
  readonly endOthers?: ReactNode;
}

export function SessionList({ sessions: { list, more }, what, end, whose, endedBefore = 0, endOthers }: SessionListProps) {
  const [said, setSaid] = useState('');

  function ended(session: Session): void {
    setSaid(`${nameOf(session)}: the session has ended.`);
    list.reload();
  }

  return (
    <>
      <Loaded query={list} what={what} skeleton={<RowBones />}>
        {(sessions) => {
          const alive = sessions.filter((session) => isAlive(session, endedBefore));
          const over = sessions.filter((session) => !isAlive(session, endedBefore));
          return (
            <>
              {alive.length === 0 ? (
                <p className="row-more">Nobody is signed in.</p>
              ) : (
                <ul className="rows" aria-label="Open sessions">
                  {alive.map((session) => (
                    <OpenSession key={session.name} session={session} end={end} whose={whose} onEnded={ended} />
                  ))}
                </ul>
              )}
              {alive.length > 1 && endOthers}
              {over.length > 0 && <PastSessions sessions={over} whose={whose} />}
              <MoreButton more={more} />
            </>
          );
        }}
      </Loaded>
      <Said>{said}</Said>
    </>
  );
}

function OpenSession({ session, end, whose, onEnded }: Pick<SessionListProps, 'end' | 'whose'> & {
  session: Session;
  onEnded: (session: Session) => void;
}) {
  const ending = useAction(async () => {
    await end?.(session);
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
        {whose !== undefined && <p className="row-whose">{whose(session)}</p>}
        <p className="row-more">
          Signed in <Time at={session.createTime} as="from-now" />
          {' · '}ends <Time at={session.expireTime} as="from-now" />
        </p>
        {ending.failure !== undefined && <Failure failure={ending.failure} />}
      </div>
      {!session.current && end !== undefined && (
        <Button look="danger" pending={ending.pending} onClick={ending.run} aria-label={`End session of ${nameOf(session)}`}>
          End session
        </Button>
      )}
    </li>
  );
}

function PastSessions({ sessions, whose }: Pick<SessionListProps, 'whose'> & { sessions: readonly Session[] }) {
  return (
    <details className="past">
      <summary>Recently ended ({sessions.length})</summary>
      <ul className="rows">
        {sessions.map((session) => (
          <li key={session.name} className="row">
            <Icon name="device" />
            <div className="row-text">
              <p className="row-title">{nameOf(session)}</p>
              {whose !== undefined && <p className="row-whose">{whose(session)}</p>}
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

function isAlive(session: Session, endedBefore: number, now = Date.now()): boolean {
  if (session.current) return true;
  if (session.state !== SessionState.ACTIVE || toMs(session.createTime) < endedBefore) return false;
  return toMs(session.expireTime) > now && toMs(session.idleExpireTime) > now;
}
