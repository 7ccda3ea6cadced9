// Pictures laid from tiles: the mark, an app's picture made from its id, the panel beside sign-in. Decoration only.

interface Tile {
  readonly at: string;
  readonly color: number;
  readonly shape: string;
}

// Each shape lies in a cell of ten by ten.
const SHAPES = [
  'M0 0h10v10H0z',
  'M0 0h10A10 10 0 0 1 0 10z',
  'M10 0v10A10 10 0 0 1 0 0z',
  'M10 10H0A10 10 0 0 1 10 0z',
  'M0 10V0A10 10 0 0 1 10 10z',
  'M5 0a5 5 0 0 1 0 10A5 5 0 0 1 5 0z',
  'M0 0h10A5 5 0 0 1 0 0zM0 5h10A5 5 0 0 1 0 5z',
] as const;

const COLORS = 6;

/** The picture of an app: always the same for the same id. */
export function AppPicture({ id }: { id: string }) {
  const next = dice(id);
  const ground = 1 + Math.floor(next() * COLORS);
  const tiles = grid(3, 3, next, 0.12);
  return (
    <svg className={`picture ground-${ground}`} viewBox="0 0 30 30" aria-hidden="true" focusable="false">
      <Tiles tiles={tiles.map((tile) => (tile.color === ground ? { ...tile, color: (ground % COLORS) + 1 } : tile))} />
    </svg>
  );
}

const PANEL = { columns: 8, rows: 11, seed: 'mozaiks' };

/** A wall of tiles. */
export function MosaicPanel() {
  const { columns, rows, seed } = PANEL;
  return (
    <svg
      className="wall"
      viewBox={`0 0 ${columns * 10} ${rows * 10}`}
      preserveAspectRatio="xMidYMid slice"
      aria-hidden="true"
      focusable="false"
    >
      <Tiles tiles={grid(columns, rows, dice(seed), 0.34)} />
    </svg>
  );
}

/** The mark of the product. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 22 22" aria-hidden="true" focusable="false">
      <path className="tint-1" d="M0 0h10v10H0z" />
      <path className="tint-3" d="M12 10V0a10 10 0 0 1 10 10z" />
      <path className="tint-4" d="M5 12a5 5 0 0 1 0 10 5 5 0 0 1 0-10z" />
      <path className="tint-2" d="M12 12h10A10 10 0 0 1 12 22z" />
    </svg>
  );
}

function Tiles({ tiles }: { tiles: readonly Tile[] }) {
  return tiles.map(({ at, color, shape }) => (
    <path key={at} className={`tint-${color}`} d={shape} transform={`translate(${at})`} />
  ));
}

function grid(columns: number, rows: number, next: () => number, gaps: number): Tile[] {
  return Array.from({ length: columns * rows }, (_, cell) => {
    const at = `${(cell % columns) * 10} ${Math.floor(cell / columns) * 10}`;
    const color = 1 + Math.floor(next() * COLORS);
    const shape = SHAPES[Math.floor(next() * SHAPES.length)] ?? SHAPES[0];
    return next() < gaps ? undefined : { at, color, shape };
  }).filter((tile) => tile !== undefined);
}

/** Numbers from 0 to below 1 that follow from a text: FNV-1a for the start, xorshift from there. */
function dice(text: string): () => number {
  let state = 2166136261;
  for (const char of text) state = Math.imul(state ^ (char.codePointAt(0) ?? 0), 16777619);
  state ||= 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
