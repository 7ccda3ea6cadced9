// Walking through paged lists. Must not know any service.

import type { CallOptions } from './client.js';

/**
 * Walks through the pages of a list from the one that `ask` names, each fetched when it is asked for.
 *
 * ```ts
 * for await (const { apps } of pages(identity(mozaiks).apps.listApps, { pageSize: 100 })) …
 * ```
 */
export async function* pages<Ask extends { pageToken?: string }, Answer extends { nextPageToken: string }>(
  list: (ask: Ask, options?: CallOptions) => Promise<Answer>,
  ask: Ask,
  options?: CallOptions,
): AsyncGenerator<Answer, void, undefined> {
  let next: Ask = ask;
  for (;;) {
    const page = await list(next, options);
    yield page;
    if (page.nextPageToken === '') return;
    next = { ...next, pageToken: page.nextPageToken };
  }
}
