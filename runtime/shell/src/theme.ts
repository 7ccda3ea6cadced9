// The theme a person chose, kept in this browser. `theme-boot.js` reads the same key before the first paint.

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'mozaiks.theme';

export function readTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}

export function writeTheme(theme: Theme): void {
  const root = document.documentElement;
  if (theme === 'system') {
    localStorage.removeItem(KEY);
    delete root.dataset['theme'];
  } else {
    localStorage.setItem(KEY, theme);
    root.dataset['theme'] = theme;
  }
}
