// A word about a state, told by text first and by colour second.

export type Tone = 'plain' | 'good' | 'warn' | 'danger' | 'accent';

export function Badge({ tone = 'plain', children }: { tone?: Tone; children: string }) {
  return <span className={`badge ${tone}`}>{children}</span>;
}
