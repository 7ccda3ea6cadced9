// A form as a whole: sending it, and where the focus goes when it was refused. Must not know its fields.

import { type FormEvent, type ReactNode, useEffect, useRef } from 'react';
import type { MozaiksError } from '@mozaiks/client';
import type { Action } from '../query';
import { Button } from './Button';
import { Failure } from './Failure';

interface FormProps {
  readonly label: string;
  readonly onSubmit: () => void;
  /** Rises each time the form was refused, by itself or by the server. */
  readonly refusals: number;
  /** A failure that no field shows. */
  readonly failure?: MozaiksError | undefined;
  /** Reads the newest version, for a form that changes what others may change too. */
  readonly newest?: Action<[]>;
  readonly children: ReactNode;
}

export function Form({ label, onSubmit, refusals, failure, newest, children }: FormProps) {
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (refusals === 0) return;
    form.current?.querySelector<HTMLElement>('[aria-invalid=true], [role=alert]')?.focus();
  }, [refusals]);

  function submit(event: FormEvent): void {
    event.preventDefault();
    onSubmit();
  }

  return (
    <form ref={form} className="form" aria-label={label} noValidate onSubmit={submit}>
      {failure !== undefined && (
        <Failure failure={failure}>
          {newest !== undefined && failure.reason === 'ETAG_STALE' && (
            <Button pending={newest.pending} onClick={newest.run}>
              Load the newest
            </Button>
          )}
        </Failure>
      )}
      {children}
    </form>
  );
}
