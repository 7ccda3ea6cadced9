// Sending a form: what is checked here, what the server refused, and which field shows it. Must not know any form.

import { MozaiksError } from '@mozaiks/client';
import { useRef, useState } from 'react';
import { type FieldFaults, fieldFaults } from './failures';

export interface Submission {
  readonly pending: boolean;
  /** What is wrong with single fields. */
  readonly faults: FieldFaults;
  /** A failure that no field shows. */
  readonly failure: MozaiksError | undefined;
  /** Rises with every refusal. */
  readonly refusals: number;
  submit(): void;
  /** Forgets what was refused. */
  clear(): void;
}

interface Plan {
  /** The fields of the form, by their paths in the request. */
  readonly fields: readonly string[];
  /** What is wrong before anything is sent. */
  readonly check: () => FieldFaults;
  readonly send: () => Promise<void>;
}

interface Refused {
  readonly faults: FieldFaults;
  readonly failure: MozaiksError | undefined;
}

const NOTHING: Refused = { faults: {}, failure: undefined };

/** At most one attempt at a time. What was refused stays until the next one. */
export function useSubmission({ fields, check, send }: Plan): Submission {
  const [pending, setPending] = useState(false);
  const [refused, setRefused] = useState(NOTHING);
  const [refusals, setRefusals] = useState(0);
  const running = useRef(false);

  function refuse(next: Refused): void {
    setRefused(next);
    setRefusals((before) => before + 1);
  }

  async function attempt(): Promise<void> {
    running.current = true;
    setPending(true);
    setRefused(NOTHING);
    try {
      await send();
    } catch (cause) {
      const failure = MozaiksError.from(cause);
      const faults = fieldFaults(failure, fields);
      refuse({ faults, failure: Object.keys(faults).length === 0 ? failure : undefined });
    } finally {
      running.current = false;
      setPending(false);
    }
  }

  function submit(): void {
    if (running.current) return;
    const faults = check();
    if (Object.keys(faults).length > 0) refuse({ faults, failure: undefined });
    else void attempt();
  }

  return { pending, ...refused, refusals, submit, clear: () => setRefused(NOTHING) };
}

/** Keeps the entries that say something. */
export function faultsOf(entries: Readonly<Record<string, string | false>>): FieldFaults {
  return Object.fromEntries(Object.entries(entries).filter((entry): entry is [string, string] => entry[1] !== false));
}
