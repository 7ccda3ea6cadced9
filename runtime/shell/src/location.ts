// Where the browser is, and going somewhere else in the shell without loading the document again.

import { createStore } from './store';

export interface Place {
  readonly path: string;
  readonly query: string;
  /** Rises with every navigation. */
  readonly visit: number;
}

function here(visit: number): Place {
  return { path: location.pathname, query: location.search, visit };
}

/** The present place. */
export const place = createStore<Place>(here(0));

addEventListener('popstate', () => {
  const { path, query, visit } = place.get();
  // Following a link to a fragment of this page is no navigation.
  if (location.pathname !== path || location.search !== query) place.set(here(visit + 1));
});

/** Goes to a path of this shell. */
export function navigate(to: string, how?: { replace: boolean }): void {
  if (how?.replace === true) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  scrollTo(0, 0);
  place.set(here(place.get().visit + 1));
}

/** Takes the fragment off the address, so that what it holds does not stay in the history. */
export function dropFragment(): void {
  history.replaceState(null, '', location.pathname + location.search);
}

/** The address of a page before or of signing in that leads back here. */
export function withReturn(page: '/login' | '/register' | '/again', { path, query }: Pick<Place, 'path' | 'query'>): string {
  return path === '/' ? page : `${page}?return=${encodeURIComponent(path + query)}`;
}

/** Where to go after signing in: the return path, if it is one of this origin. */
export function returnPath(query: string): string {
  const wanted = new URLSearchParams(query).get('return');
  if (wanted === null) return '/';
  const target = URL.canParse(wanted, location.origin) ? new URL(wanted, location.origin) : undefined;
  return target?.origin === location.origin ? target.pathname + target.search : '/';
}
