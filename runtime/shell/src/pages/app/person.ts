// What people of an app are called.

import type { User } from '@mozaiks/client/identity';

export function personName(user: User): string {
  return user.profile?.displayName || user.email || idOf(user.name);
}

/** The last part of a resource name. */
export function idOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}
