// Chooses between the system's theme, light and dark.

import { useId } from 'react';
import { useRuntime } from '../contexts/RuntimeContext';
import type { Theme } from '../theme';
import { Icon } from './Icon';

const THEMES: readonly { readonly theme: Theme; readonly label: string }[] = [
  { theme: 'system', label: 'System' },
  { theme: 'light', label: 'Light' },
  { theme: 'dark', label: 'Dark' },
];

/** `labelled` shows the words beside the icons. */
export function ThemeSwitch({ labelled = false }: { labelled?: boolean }) {
  const { theme: chosen, setTheme } = useRuntime();
  const name = useId();
  return (
    <fieldset className={labelled ? 'switch labelled' : 'switch'}>
      <legend className="unseen">Theme</legend>
      {THEMES.map(({ theme, label }) => (
        <label key={theme} title={label}>
          <input type="radio" name={name} checked={theme === chosen} onChange={() => setTheme(theme)} />
          <Icon name={theme} />
          <span className={labelled ? undefined : 'unseen'}>{label}</span>
        </label>
      ))}
    </fieldset>
  );
}
