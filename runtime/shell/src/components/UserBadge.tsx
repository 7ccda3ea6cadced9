// The state of a person who may not sign in, as a word.

import { type User, UserState } from '@mozaiks/client/identity';
import { Badge } from './Badge';

export function UserBadge({ user }: { user: User }) {
  return <Badge tone="danger">{user.state === UserState.DELETED ? 'Deleted' : 'Disabled'}</Badge>;
}
