// The state and mode of an app as words.

import { type App, AppMode, AppState } from '@mozaiks/client/identity';
import { Badge, type Tone } from './Badge';

const STATES: ReadonlyMap<AppState, readonly [tone: Tone, word: string]> = new Map([
  [AppState.ACTIVE, ['good', 'Active']],
  [AppState.PAUSED, ['warn', 'Paused']],
  [AppState.DELETED, ['danger', 'Deleted']],
]);

/** `brief` leaves out what is usual. */
export function AppBadges({ app, brief = false }: { app: App; brief?: boolean }) {
  const [tone, word] = STATES.get(app.state) ?? ['plain', 'Not in use'];
  return (
    <span className="badges">
      {!(brief && app.state === AppState.ACTIVE) && <Badge tone={tone}>{word}</Badge>}
      {app.mode === AppMode.TEST ? <Badge tone="warn">Test</Badge> : !brief && <Badge>Live</Badge>}
    </span>
  );
}
