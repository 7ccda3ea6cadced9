// The icons of the shell, as strokes of one weight. Always decoration: the text beside an icon says what it means.

const PATHS = {
  alert: 'M12 8v5M12 16.5v.01M10.3 3.9 2.4 17.6A2 2 0 0 0 4.1 20.6h15.8a2 2 0 0 0 1.7-3L13.7 3.9a2 2 0 0 0-3.4 0Z',
  apps: 'M4 4h6.5v6.5H4zM13.5 4H20v6.5h-6.5zM4 13.5h6.5V20H4zM13.5 13.5H20V20h-6.5z',
  arrow: 'M5 12h14M13 6l6 6-6 6',
  back: 'M19 12H5M11 18l-6-6 6-6',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  dark: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z',
  device: 'M4 5h16v11H4zM9 20h6M12 16v4',
  exit: 'M10 4H5v16h5M15 8l4 4-4 4M19 12H9',
  eye: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12ZM12 9.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6Z',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13.5 6.5l4 4',
  'eye-off': 'M4 4l16 16M9.9 5.8A9 9 0 0 1 12 5.5c6 0 9.5 6.5 9.5 6.5a16 16 0 0 1-3 3.7M6.2 7.6A16 16 0 0 0 2.5 12S6 18.5 12 18.5a9 9 0 0 0 4.2-1',
  key: 'M8 11a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM11 12l8.5-8.5M16 7l3 3M13.5 9.5l2 2',
  light: 'M12 7.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9ZM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4',
  people: 'M9 4.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7ZM2.5 19.5c.6-3.2 3-4.8 6.5-4.8s5.9 1.6 6.5 4.8M15.5 4.8a3.3 3.3 0 0 1 0 6.4M17.5 14.9c2.2.5 3.6 2 4 4.6',
  person: 'M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM4.5 20.5c.8-3.7 3.8-5.5 7.5-5.5s6.7 1.8 7.5 5.5',
  pause: 'M8 5v14M16 5v14',
  plus: 'M12 5v14M5 12h14',
  server: 'M4 4.5h16v6.5H4zM4 13h16v6.5H4zM7.5 7.8v.01M7.5 16.3v.01',
  system: 'M4 5h16v11H4zM9 20h6',
  offline: 'M4 4l16 16M8.5 8.9A11 11 0 0 0 4 11.5M12 8c3.2 0 6.2 1.3 8.4 3.5M7.2 14.6A7 7 0 0 1 11 12.9M12 18.5v.01',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
