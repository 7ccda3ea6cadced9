// Reads the next page of a list.

import type { Action } from '../query';
import { Button } from './Button';
import { Failure } from './Failure';

export function MoreButton({ more }: { more: Action<[]> | undefined }) {
  if (more === undefined) return null;
  return (
    <div className="more">
      {more.failure !== undefined && <Failure failure={more.failure} />}
      <Button pending={more.pending} onClick={more.run}>
        Show more
      </Button>
    </div>
  );
}
