// Loading and doing: the state of one read and of one side effect. Must not know what is read or done.

import { useCallback, useEffect, useRef, useState } from 'react';
import { MozaiksError } from '@mozaiks/client';

/** A read. While it is made again, `data` keeps what was read before. */
export interface Query<T> {
  readonly data: T | undefined;
  readonly failure: MozaiksError | undefined;
  readonly busy: boolean;
  /** Reads again. */
  reload(): void;
}

interface Outcome<T> {
  readonly key: string;
  readonly round: number;
  readonly data: T | undefined;
  readonly failure: MozaiksError | undefined;
}

/** Reads when the component appears and whenever `key` changes; a read that nobody waits for any more is aborted. */
export function useQuery<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Query<T> {
  const [round, setRound] = useState(0);
  const [seen, setSeen] = useState<Outcome<T>>();
  const loader = useRef(load);
  useEffect(() => {
    loader.current = load;
  });
  useEffect(() => {
    const gone = new AbortController();
    loader.current(gone.signal).then(
      (data) => gone.signal.aborted || setSeen({ key, round, data, failure: undefined }),
      (cause: unknown) =>
        gone.signal.aborted || setSeen({ key, round, data: undefined, failure: MozaiksError.from(cause) }),
    );
    return () => gone.abort();
  }, [key, round]);

  const reload = useCallback(() => setRound((before) => before + 1), []);
  const mine = seen?.key === key ? seen : undefined;
  const busy = mine?.round !== round;
  return { data: mine?.data, failure: busy ? undefined : mine?.failure, busy, reload };
}

/** A side effect: at most one run at a time. */
export interface Action<A extends unknown[]> {
  readonly pending: boolean;
  readonly failure: MozaiksError | undefined;
  run(...args: A): void;
  /** Forgets the failure. */
  clear(): void;
}

/** Runs `act` when told to. A failure stays until the next run. */
export function useAction<A extends unknown[]>(act: (...args: A) => Promise<void>): Action<A> {
  const [pending, setPending] = useState(false);
  const [failure, setFailure] = useState<MozaiksError>();
  const running = useRef(false);

  async function run(...args: A): Promise<void> {
    if (running.current) return;
    running.current = true;
    setPending(true);
    setFailure(undefined);
    try {
      await act(...args);
    } catch (cause) {
      setFailure(MozaiksError.from(cause));
    } finally {
      running.current = false;
      setPending(false);
    }
  }

  return { pending, failure, run: (...args) => void run(...args), clear: () => setFailure(undefined) };
}

/**
 * Gives the request id of an intent: the same for the same content, so that a repeat after a lost answer is known as
 * one, and another as soon as the content changes.
 */
export function useIntent(): (content: unknown) => string {
  const last = useRef<{ content: string; id: string }>(undefined);
  return useCallback((content) => {
    const text = JSON.stringify(content);
    if (last.current?.content !== text) last.current = { content: text, id: crypto.randomUUID() };
    return last.current.id;
  }, []);
}
