// Permissions: what a held one covers, and all of them in plain words, one line for each resource.
// What this file does not know is shown as it is.

/** What somebody may do with one kind of thing. */
export interface Grant {
  /** The things, as a person would call them. */
  readonly what: string;
  /** What may be done, such as `see, change`. */
  readonly may: string;
  /** The permissions behind it. */
  readonly exact: readonly string[];
}

const THINGS: Readonly<Record<string, string>> = {
  '*': 'Everything',
  'identity.*': 'People and access',
  'identity.access': 'Access checks',
  'identity.api_keys': 'API keys',
  'identity.apps': 'This app',
  'identity.audit': 'Audit log',
  'identity.clients': 'Sign-in clients',
  'identity.hosts': 'Web addresses',
  'identity.impersonate': 'Other people’s sessions',
  'identity.members': 'Team members',
  'identity.policies': 'Sign-in rules',
  'identity.providers': 'Sign-in providers',
  'identity.sessions': 'Sessions',
  'identity.signing_keys': 'Signing keys',
  'identity.sinks': 'Event receivers',
  'identity.users': 'People',
  'operator.apps': 'The installation',
};

const VERBS: Readonly<Record<string, string>> = {
  '*': 'everything',
  read: 'see',
  write: 'change',
  impersonate: 'sign in as somebody else',
  revoke: 'end',
};

/** Whether one of the held patterns covers a permission: `identity.*` covers everything below `identity.`. */
export function covers(held: readonly string[], permission: string): boolean {
  return held.some((pattern) => pattern === '*' || pattern === permission || (pattern.endsWith('.*') && permission.startsWith(pattern.slice(0, -1))));
}

/** `identity.users.read` and `identity.users.write` together are `People: see, change`. */
export function inWords(permissions: readonly string[]): Grant[] {
  const grants = new Map<string, { verbs: string[]; exact: string[] }>();
  for (const permission of permissions) {
    const [thing, verb] = split(permission);
    const grant = grants.get(thing) ?? { verbs: [], exact: [] };
    grant.verbs.push(VERBS[verb] ?? spaced(verb));
    grant.exact.push(permission);
    grants.set(thing, grant);
  }
  return [...grants]
    .map(([thing, { verbs, exact }]) => ({ what: THINGS[thing] ?? nameOf(thing), may: verbs.join(', '), exact }))
    .sort((a, b) => a.what.localeCompare(b.what));
}

/** Thing and verb: the last word is the verb, unless the permission has one thing only. */
function split(permission: string): [thing: string, verb: string] {
  const parts = permission.split('.');
  const verb = parts.at(-1) ?? permission;
  if (parts.length > 2) return [parts.slice(0, -1).join('.'), verb];
  return [permission, verb];
}

function nameOf(thing: string): string {
  const words = spaced(thing.split('.').filter((part) => part !== '*').at(-1) ?? thing);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function spaced(word: string): string {
  return word.replaceAll('_', ' ');
}
