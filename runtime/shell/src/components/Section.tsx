// A part of a page with its heading at the side, or above where there is no room.

import { type ReactNode, useId } from 'react';

export function Section({ title, about, children }: { title: string; about: ReactNode; children: ReactNode }) {
  const id = useId();
  return (
    <section className="section split" aria-labelledby={id}>
      <div className="section-head">
        <h2 id={id}>{title}</h2>
        <p>{about}</p>
      </div>
      <div className="section-body">{children}</div>
    </section>
  );
}
