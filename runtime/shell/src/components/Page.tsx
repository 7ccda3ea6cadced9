// The frame of a page: its one heading, its title in the browser, its states. Must not know what a page is about.

import type { MozaiksError } from '@mozaiks/client';
import type { ReactNode } from 'react';
import { explain } from '../failures';
import type { Query } from '../query';
import { Button } from './Button';
import { CallId } from './Failure';

/** `part` names the page where several share a heading. */
export function Title({ part, children }: { part?: string | undefined; children: string }) {
  return (
    <>
      <title>{part === undefined ? `${children} · Mozaiks` : `${part} · ${children} · Mozaiks`}</title>
      <h1 tabIndex={-1}>
        {children}
        {part !== undefined && <span className="unseen">{`: ${part}`}</span>}
      </h1>
    </>
  );
}

interface PageProps {
  readonly title: string;
  /** Which page it is, where several share a title. */
  readonly part?: string | undefined;
  /** One sentence under the heading. */
  readonly lead?: ReactNode;
  /** Stands before the heading. */
  readonly picture?: ReactNode;
  /** Above the heading: the way back. */
  readonly back?: ReactNode;
  readonly actions?: ReactNode;
  readonly narrow?: boolean;
  readonly children: ReactNode;
}

export function Page({ title, part, lead, picture, back, actions, narrow = false, children }: PageProps) {
  return (
    <div className={narrow ? 'page narrow' : 'page'}>
      {back}
      <div className="page-head">
        {picture}
        <div className="page-title">
          <Title part={part}>{title}</Title>
          {lead !== undefined && <div className="lead">{lead}</div>}
        </div>
        {actions !== undefined && <div className="actions">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

/** What was read, or why there is nothing yet. The skeleton shows itself after 150 ms (components.css). */
export function Loaded<T>({ query, what, skeleton, children }: {
  query: Query<T>;
  /** What is loaded, as a person would call it: `your apps`. */
  what: string;
  skeleton: ReactNode;
  children: (data: T) => ReactNode;
}) {
  if (query.failure !== undefined) return <Blank failure={query.failure} retry={query.reload} />;
  if (query.data !== undefined) return children(query.data);
  return <Skeleton what={what}>{skeleton}</Skeleton>;
}

export function Skeleton({ what, children }: { what: string; children: ReactNode }) {
  return (
    <div className="skeleton" role="status">
      <span className="unseen">{`Loading ${what}`}</span>
      <div aria-hidden="true">{children}</div>
    </div>
  );
}

/** Stands where something should be that could not be read. */
export function Blank({ failure, retry }: { failure: MozaiksError; retry?: () => void }) {
  const { title, text } = explain(failure);
  return (
    <div className="blank" role="alert">
      <p className="blank-title">{title}</p>
      <p>{text}</p>
      {retry !== undefined && (
        <div className="actions">
          <Button onClick={retry}>Try again</Button>
        </div>
      )}
      <CallId failure={failure} />
    </div>
  );
}
