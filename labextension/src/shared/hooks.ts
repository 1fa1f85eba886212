import { useEffect, useReducer } from 'react';
import type { ISignal } from '@lumino/signaling';

import type { ILive } from '../tokens';

/** Draw again whenever one of `signals` is emitted (once on mounting too: it may have been before). */
export function useChanges(...signals: readonly ISignal<unknown, unknown>[]): void {
  const [, draw] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
    const changed = () => {
      draw();
    };
    signals.forEach(signal => signal.connect(changed));
    draw();
    return () => {
      signals.forEach(signal => signal.disconnect(changed));
    };
  }, signals);
}

/** The live value as it is now, and again whenever it changes. */
export function useLive<T>(live: ILive<T>): ILive<T> {
  useChanges(live.changed);
  return live;
}
