// A failure where it happened: what it means, what helps, and the id that names the call in the server's log.

import type { MozaiksError } from '@mozaiks/client';
import type { ReactNode } from 'react';
import { explain } from '../failures';
import { place, withReturn } from '../location';
import { useStore } from '../store';
import { Button, ButtonLink } from './Button';
import { Icon } from './Icon';

interface FailureProps {
  readonly failure: MozaiksError;
  readonly retry?: (() => void) | undefined;
  /** What else helps. */
  readonly children?: ReactNode;
}

/** A failure inside a page. */
export function Failure({ failure, retry, children }: FailureProps) {
  const { title, text } = explain(failure);
  return (
    <div className="note danger" role="alert" tabIndex={-1}>
      <Icon name="alert" />
      <div className="note-text">
        <p className="note-title">{title}</p>
        <p>{text}</p>
        <CallId failure={failure} />
        <div className="actions">
          {failure.reason === 'STEP_UP_REQUIRED' && <SignInAgain />}
          {retry !== undefined && <Button onClick={retry}>Try again</Button>}
          {children}
        </div>
      </div>
    </div>
  );
}

/** Leads to a fresh sign-in and back to this page. */
function SignInAgain() {
  const here = useStore(place);
  return <ButtonLink to={withReturn('/again', here)}>Sign in again</ButtonLink>;
}

/** Names the call, so that whoever runs the server finds it. */
export function CallId({ failure }: { failure: MozaiksError }) {
  if (failure.callId === '') return null;
  return (
    <p className="call-id">
      <span>{failure.reason}</span> · Call <code>{failure.callId}</code>
    </p>
  );
}
