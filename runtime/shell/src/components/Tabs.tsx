// The way between pages of one thing.

import { useEffect, useRef } from 'react';
import { place } from '../location';
import { Link } from '../Router';
import { useStore } from '../store';

export interface Tab {
  readonly to: string;
  readonly label: string;
}

/** The tab of this page is marked, also on pages below it; the first one stands for its own page alone. */
export function Tabs({ label, tabs }: { label: string; tabs: readonly Tab[] }) {
  const { path } = useStore(place);
  const bar = useRef<HTMLElement>(null);
  useEffect(() => {
    bar.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [path]);
  return (
    <nav ref={bar} className="tabs" aria-label={label}>
      <ul>
        {tabs.map(({ to, label: text }, at) => (
          <li key={to}>
            <Link to={to} aria-current={path === to ? 'page' : at > 0 && path.startsWith(`${to}/`) ? 'true' : undefined}>
              {text}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}
