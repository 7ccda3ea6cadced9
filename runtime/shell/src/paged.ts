// A list that is read page by page. Must not know what is listed.

import { useState } from 'react';
import { type Action, type Query, useAction, useQuery } from './query';

export interface Page<T> {
  readonly items: readonly T[];
  /** Names the next page; empty after the last one. */
  readonly next: string;
}

export interface Paged<T> {
  /** All that was read so far. */
  readonly list: Query<readonly T[]>;
  /** Reads the next page; absent after the last one. */
  readonly more: Action<[]> | undefined;
}

/** Reads the first page at once and the others when asked. */
export function usePaged<T>(key: string, load: (token: string, signal?: AbortSignal) => Promise<Page<T>>): Paged<T> {
  const first = useQuery(key, (signal) => load('', signal));
  // Further pages belong to the first page they continue.
  const [rest, setRest] = useState<{ of: Page<T>; items: readonly T[]; next: string }>();
  const mine = rest !== undefined && rest.of === first.data ? rest : undefined;
  const next = mine?.next ?? first.data?.next ?? '';
  const more = useAction(async () => {
    const of = first.data;
    if (of === undefined) return;
    const page = await load(next);
    setRest({ of, items: [...(mine?.items ?? []), ...page.items], next: page.next });
  });
  const data = first.data && [...first.data.items, ...(mine?.items ?? [])];
  return { list: { ...first, data }, more: next === '' ? undefined : more };
}
