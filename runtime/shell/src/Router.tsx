// Which page is shown: the route of the present place, and who may see it. Must not know any page.

import { type ComponentProps, type MouseEvent, type ReactNode, useEffect, useRef } from 'react';
import { useSession } from './contexts/AuthContext';
import { navigate, type Place, place, returnPath, withReturn } from './location';
import { type Audience, type Match, match, type Route } from './routes';
import type { SessionState } from './session';
import { useStore } from './store';

export type PageRoute = Route<ReactNode>;

interface RouterProps {
  readonly routes: readonly PageRoute[];
  /** Stands around every page; stays while pages of one audience change. */
  readonly frame: (audience: Audience, content: ReactNode) => ReactNode;
  /** Shown where no route fits. */
  readonly unknown: (path: string) => ReactNode;
  /** Shown while it is not known who is signed in. */
  readonly waiting: (session: SessionState) => ReactNode;
}

export function Router({ routes, frame, unknown, waiting }: RouterProps) {
  const here = useStore(place);
  const session = useSession();
  const found = match(routes, here.path);
  const elsewhere = redirect(found, session, here);
  useFocusOnVisit(here.visit);
  useEffect(() => {
    if (elsewhere !== undefined) navigate(elsewhere, { replace: true });
  }, [elsewhere]);

  if (found === undefined) return frame('everybody', unknown(here.path));
  const { audience, page } = found.route;
  if (session.status === 'loading' || session.status === 'unknown') return frame(audience, waiting(session));
  return frame(audience, elsewhere === undefined ? page(found.params) : null);
}

/** Where somebody belongs who may not see the route that was found. */
function redirect(found: Match<ReactNode> | undefined, session: SessionState, here: Place): string | undefined {
  const audience = found?.route.audience;
  if (audience === 'members' && session.status === 'anonymous') {
    return session.notice === 'signed-out' ? '/login' : withReturn('/login', here);
  }
  if (audience === 'visitors' && session.status === 'authenticated') return returnPath(here.query);
  return undefined;
}

/** Moves the focus to the page's heading after each navigation, so that the next thing read is the new page. */
function useFocusOnVisit(visit: number): void {
  const seen = useRef(visit);
  useEffect(() => {
    if (seen.current === visit) return;
    seen.current = visit;
    document.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
  }, [visit]);
}

/** A link to a path of this shell. */
export function Link({ to, onClick, ...rest }: { to: string } & Omit<ComponentProps<'a'>, 'href'>) {
  function follow(event: MouseEvent<HTMLAnchorElement>): void {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to);
  }
  return <a {...rest} href={to} onClick={follow} />;
}
