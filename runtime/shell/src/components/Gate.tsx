// The frame of the pages before sign-in: the form on one side, a wall of tiles on the other.

import type { ReactNode } from 'react';
import type { Notice } from '../session';
import { useSession } from '../contexts/AuthContext';
import { Icon } from './Icon';
import { Mark, MosaicPanel } from './Mosaic';
import { ThemeSwitch } from './ThemeSwitch';

export function Gate({ children }: { children: ReactNode }) {
  return (
    <div className="gate">
      <div className="gate-side">
        <header className="gate-head">
          <span className="brand">
            <Mark />
            mozaiks
          </span>
          <ThemeSwitch />
        </header>
        <main id="main" tabIndex={-1} className="gate-main">
          {children}
        </main>
      </div>
      <div className="gate-wall">
        <MosaicPanel />
      </div>
    </div>
  );
}

const WORDS: Readonly<Record<Notice, string>> = {
  ended: 'Your session ended. Sign in again to continue.',
  reused: 'Your session ended, because its key was used in two places. Sign in again, and change your password if that was not you.',
  'signed-out': 'You are signed out.',
  'signed-out-elsewhere': 'You signed out in another tab.',
};

/** Why somebody who was signed in stands at the gate. */
export function SessionNotice() {
  const session = useSession();
  const notice = session.status === 'anonymous' ? session.notice : undefined;
  return (
    <div role="status">
      {notice !== undefined && (
        <div className={notice === 'reused' ? 'note warn' : 'note'}>
          <Icon name={notice === 'reused' ? 'alert' : 'exit'} />
          <p className="note-text">{WORDS[notice]}</p>
        </div>
      )}
    </div>
  );
}
