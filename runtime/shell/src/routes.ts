// Patterns of paths: matching, building, near misses. Pure; must not touch the browser.

/** The parameters of a pattern: `/apps/:app` has `{ app: string }`. */
export type Params<Pattern extends string> = Pattern extends `${infer Head}/${infer Tail}`
  ? Param<Head> & Params<Tail>
  : Param<Pattern>;
type Param<Segment extends string> = Segment extends `:${infer Name}` ? { readonly [K in Name]: string } : unknown;

/** Who sees a route: everybody, only people who are signed in, or only people who are not. */
export type Audience = 'everybody' | 'members' | 'visitors';

export interface Route<Page> {
  readonly pattern: string;
  /** What the page is called where it is linked or suggested. */
  readonly title: string;
  readonly audience: Audience;
  readonly page: (params: Readonly<Record<string, string>>) => Page;
}

/** Declares a route; `page` gets the parameters that its pattern names. */
export function route<const Pattern extends `/${string}`, Page>(
  pattern: Pattern,
  title: string,
  audience: Audience,
  page: (params: Params<Pattern>) => Page,
): Route<Page> {
  return { pattern, title, audience, page: page as Route<Page>['page'] };
}

export interface Match<Page> {
  readonly route: Route<Page>;
  readonly params: Readonly<Record<string, string>>;
}

/** The most specific route whose pattern fits `path`. */
export function match<Page>(routes: readonly Route<Page>[], path: string): Match<Page> | undefined {
  const fitting = routes.flatMap((candidate) => {
    const params = fit(segments(candidate.pattern), segments(path));
    return params === undefined ? [] : [{ route: candidate, params }];
  });
  return fitting.sort((a, b) => vagueness(a.route.pattern).localeCompare(vagueness(b.route.pattern)))[0];
}

/** Fills a pattern: `build('/apps/:app', { app: 'shop' })` is `/apps/shop`. */
export function build<const Pattern extends `/${string}`>(pattern: Pattern, params: Params<Pattern>): string {
  const values = params as Readonly<Record<string, string>>;
  const filled = segments(pattern).map((part) =>
    part.startsWith(':') ? encodeURIComponent(values[part.slice(1)] ?? '') : part,
  );
  return `/${filled.join('/')}`;
}

/** Routes without parameters whose path looks like `path`, the nearest first. */
export function near<Page>(routes: readonly Route<Page>[], path: string): Route<Page>[] {
  return routes
    .filter(({ pattern }) => !pattern.includes(':') && pattern !== '/')
    .map((candidate) => ({ candidate, away: distance(candidate.pattern, path) }))
    .filter(({ candidate, away }) => away <= candidate.pattern.length / 2)
    .sort((a, b) => a.away - b.away)
    .map(({ candidate }) => candidate);
}

function segments(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function fit(pattern: readonly string[], path: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== path.length) return undefined;
  const params: Record<string, string> = {};
  for (const [at, part] of pattern.entries()) {
    const value = decode(path[at] ?? '');
    if (value === undefined) return undefined;
    if (part.startsWith(':')) params[part.slice(1)] = value;
    else if (part !== value) return undefined;
  }
  return params;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    // A segment that is not percent-encoded UTF-8 fits no pattern.
    return undefined;
  }
}

/** Sorts fixed segments before parameters, the leftmost difference deciding. */
function vagueness(pattern: string): string {
  return segments(pattern)
    .map((part) => (part.startsWith(':') ? '1' : '0'))
    .join('');
}

/** Edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [i, left] of [...a].entries()) {
    let diagonal = i;
    const next = [i + 1];
    for (const [j, right] of [...b].entries()) {
      const above = row[j + 1] ?? 0;
      next.push(Math.min(above + 1, (next[j] ?? 0) + 1, diagonal + (left === right ? 0 : 1)));
      diagonal = above;
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
