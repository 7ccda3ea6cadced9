// Times of the contract as times of the browser, and how people read them.

import type { Timestamp } from '@bufbuild/protobuf/wkt';

// Tokens live minutes. The bounds keep a wrong clock from renewing on every call, or never.
const LIFE_MS = { least: 60_000, most: 15 * 60_000 };

/** When a token that was just given ends, by this browser's clock. */
export function tokenEnd(expire: Timestamp | undefined, now = Date.now()): number {
  return now + Math.min(Math.max(toMs(expire) - now, LIFE_MS.least), LIFE_MS.most);
}

export function toMs(time: Timestamp | undefined): number {
  return time === undefined ? 0 : Number(time.seconds) * 1000 + time.nanos / 1e6;
}

const DAY = new Intl.DateTimeFormat('en', { dateStyle: 'long' });
const MOMENT = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });
const AGO = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const UNITS = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['week', 604_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
] as const;

export function asDay(ms: number): string {
  return DAY.format(ms);
}

export function asMoment(ms: number): string {
  return MOMENT.format(ms);
}

/** `in 3 days`, `2 hours ago`, `just now`. */
export function fromNow(ms: number, now = Date.now()): string {
  const away = ms - now;
  const unit = UNITS.find(([, size]) => Math.abs(away) >= size);
  return unit === undefined ? 'just now' : AGO.format(Math.round(away / unit[1]), unit[0]);
}
