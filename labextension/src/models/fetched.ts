import { useEffect, useRef, useState } from 'react';

import type { IProblem } from '../api/types';
import { problemOf } from '../shared/live';

/** What was answered last, and why the newest question was not; both null while the first is on its way. */
export interface IFetched<T> {
  readonly value: T | null;
  readonly problem: IProblem | null;
  /** Whether `value` is the answer to what is asked now. */
  readonly fresh: boolean;
}

/**
 * Ask whenever `key` or `again` changes: after a `pause` (ms) while somebody types, and only the newest answer counts. A null
 * `key` asks nothing. Another `key` forgets the answer; `again` keeps it on screen until the new one is there.
 */
export function useFetched<T>(
  key: string | null,
  ask: () => Promise<T>,
  again: unknown = null,
  pause = 0
): IFetched<T> {
  const [found, setFound] = useState<IFetched<T> & { key: string | null }>({
    key: null,
    value: null,
    problem: null,
    fresh: false
  });
  const newest = useRef(ask);
  newest.current = ask;
  useEffect(() => {
    if (key === null) {
      return;
    }
    let wanted = true;
    const timer = setTimeout(() => {
      newest.current().then(
        value => {
          if (wanted) {
            setFound({ key, value, problem: null, fresh: true });
          }
        },
        (reason: unknown) => {
          if (wanted) {
            setFound(last => ({
              key,
              value: last.key === key ? last.value : null,
              problem: problemOf(reason),
              fresh: true
            }));
          }
        }
      );
    }, pause);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [key, again, pause]);
  return found.key === key && key !== null ? found : { value: null, problem: null, fresh: false };
}
