// A moment as people say it, with the exact one behind it.

import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { asDay, asMoment, fromNow, toMs } from '../clock';

export function Time({ at, as }: { at: Timestamp | undefined; as: 'day' | 'moment' | 'from-now' }) {
  if (at === undefined) return <span>unknown</span>;
  const ms = toMs(at);
  const words = { day: asDay, moment: asMoment, 'from-now': (value: number) => fromNow(value) }[as];
  return (
    <time dateTime={new Date(ms).toISOString()} title={as === 'moment' ? undefined : asMoment(ms)}>
      {words(ms)}
    </time>
  );
}
