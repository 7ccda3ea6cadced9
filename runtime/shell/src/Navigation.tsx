// The way between pages: a column on wide screens, a rail on middling ones, a bar at the bottom on small ones.
// Which of them is a matter of style sheets; the elements are the same.

import { useEffect, useState } from 'react';
import { Button } from './components/Button';
import { Failure } from './components/Failure';
import { Icon, type IconName } from './components/Icon';
import { Mark } from './components/Mosaic';
import { ThemeSwitch } from './components/ThemeSwitch';
import { useAccount, useCore, useSession } from './contexts/AuthContext';
import { useRuntime } from './contexts/RuntimeContext';
import { place } from './location';
import { covers } from './permissions';
import { useAction } from './query';
import { Link } from './Router';
import { useStore } from './store';

interface Entry {
  readonly to: string;
  readonly label: string;
  readonly icon: IconName;
  /** Whether a path belongs to this entry. */
  readonly holds: (path: string) => boolean;
  /** For operators: seen on the admin address alone, by those who hold this permission. */
  readonly operator?: string;
}

const ENTRIES: readonly Entry[] = [
  { to: '/', label: 'Apps', icon: 'apps', holds: (path) => path === '/' || (path.startsWith('/apps/') && path !== '/apps/new') },
  { to: '/apps/new', label: 'New app', icon: 'plus', holds: (path) => path === '/apps/new' },
  { to: '/me', label: 'Profile', icon: 'person', holds: (path) => path === '/me' },
  { to: '/operator', label: 'Operation', icon: 'server', holds: (path) => path.startsWith('/operator'), operator: 'operator.apps' },
];

export function Navigation() {
  const { path } = useStore(place);
  const session = useSession();
  const held = useStore(useCore().account).me?.permissions ?? [];
  const { admin } = useRuntime();
  const entries = ENTRIES.filter(({ operator }) => operator === undefined || (admin && covers(held, operator)));
  return (
    <header className="side">
      <Link to="/" className="brand">
        <Mark />
        <span>mozaiks</span>
      </Link>
      {session.status !== 'anonymous' && (
        <nav className="nav" aria-label="Main">
          <ul>
            {entries.map(({ to, label, icon, holds }) => (
              <li key={to}>
                <Link to={to} aria-current={path === to ? 'page' : holds(path) ? 'true' : undefined}>
                  <Icon name={icon} />
                  <span>{label}</span>
                </Link>
              </li>
            ))}
          </ul>
        </nav>
      )}
      <div className="side-end">
        <ThemeSwitch />
        {session.status === 'authenticated' && <AccountCorner />}
        {session.status === 'anonymous' && <Link to="/login" className="button plain"><span>Sign in</span></Link>}
      </div>
    </header>
  );
}

function AccountCorner() {
  const { me } = useAccount();
  const core = useCore();
  const signOut = useAction(() => core.session.signOut());
  const name = me?.user?.profile?.displayName || me?.user?.email || 'Your account';
  return (
    <div className="account">
      <span className="initials" aria-hidden="true">{initials(name)}</span>
      <span className="account-text">
        <span className="account-name">{name}</span>
        {me?.user !== undefined && me.user.email !== name && <span className="account-mail">{me.user.email}</span>}
      </span>
      <Button look="quiet" icon="exit" pending={signOut.pending} onClick={signOut.run}>
        Sign out
      </Button>
      {signOut.failure !== undefined && (
        <div className="popped">
          <Failure failure={signOut.failure} retry={signOut.run}>
            <Button onClick={signOut.clear}>Close</Button>
          </Failure>
        </div>
      )}
    </div>
  );
}

function initials(name: string): string {
  const words = name.split(/[\s@.]+/u).filter((word) => word !== '');
  return [...(words[0] ?? '')].slice(0, 1).concat([...(words[1] ?? '')].slice(0, 1)).join('').toUpperCase();
}

/** Goes back to the app list. */
export function BackToApps() {
  return (
    <Link to="/" className="back">
      <Icon name="back" />
      All apps
    </Link>
  );
}

/** Says so while the browser has no network, and once more when it has. */
export function OfflineBanner({ online }: { online: boolean }) {
  const [wasAway, setWasAway] = useState(false);
  useEffect(() => {
    if (!online) setWasAway(true);
  }, [online]);
  return (
    <div role="status" className="offline-place">
      {!online && (
        <p className="offline">
          <Icon name="offline" />
          You are offline. What you see may be old, and changes cannot be saved.
        </p>
      )}
      {online && wasAway && <p className="unseen">You are online again.</p>}
    </div>
  );
}
