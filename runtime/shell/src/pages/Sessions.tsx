// The sessions of the person who is signed in: ending one of them, or all others.

import type { Session } from '@mozaiks/client/identity';
import { toMs } from '../clock';
import { Button } from '../components/Button';
import { Failure } from '../components/Failure';
import { useCore } from '../contexts/AuthContext';
import { usePaged } from '../paged';
import { useAction } from '../query';
import { SessionList } from './SessionList';

interface SessionsProps {
  /** Whether everything older than the present session was ended at once, which those sessions do not say themselves. */
  readonly cut: boolean;
  readonly onCut: () => void;
}

export function Sessions({ cut, onCut }: SessionsProps) {
  const core = useCore();
  const sessions = usePaged<Session>('sessions', async (pageToken, signal) => {
    const answer = await core.identity.me.listMySessions({ parent: `${core.home}/me`, pageToken }, signal && { signal });
    return { items: answer.sessions, next: answer.nextPageToken };
  });
  const endOthers = useAction(async () => {
    await core.endOtherSessions();
    onCut();
    sessions.list.reload();
  });
  const present = sessions.list.data?.find(({ current }) => current);
  return (
    <SessionList
      sessions={sessions}
      what="your sessions"
      endedBefore={cut ? toMs(present?.createTime) : 0}
      end={({ name }) => core.identity.me.revokeMySession({ name })}
      endOthers={
        <>
          {endOthers.failure !== undefined && <Failure failure={endOthers.failure} />}
          <div className="actions">
            <Button look="danger" pending={endOthers.pending} onClick={endOthers.run}>
              End all other sessions
            </Button>
          </div>
        </>
      }
    />
  );
}
