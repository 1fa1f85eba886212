import { useEffect, useReducer, useRef } from 'react';

import type { Change, RunsModel } from './model/model';

/** Draw again whenever the model changed; what kinds of changes there were since the last time. */
export function useModel(model: RunsModel): ReadonlySet<Change> {
  const [, draw] = useReducer((n: number) => n + 1, 0);
  const changes = useRef(new Set<Change>());
  useEffect(() => {
    let asked = false;
    const changed = (_: unknown, change: Change): void => {
      changes.current.add(change);
      if (!asked) {
        asked = true;
        queueMicrotask(() => {
          asked = false;
          draw();
        });
      }
    };
    model.changed.connect(changed);
    draw();
    return () => {
      model.changed.disconnect(changed);
    };
  }, [model]);
  const since = changes.current;
  useEffect(() => {
    changes.current = new Set();
  });
  return since;
}

/** How often the series of each run came in; cells that show one are drawn again when it grows. */
export function useArrivals(model: RunsModel): ReadonlyMap<string, number> {
  const [, draw] = useReducer((n: number) => n + 1, 0);
  const counts = useRef(new Map<string, number>());
  useEffect(() => {
    const arrived = (_: unknown, ids: readonly string[]): void => {
      ids.forEach(id => counts.current.set(id, (counts.current.get(id) ?? 0) + 1));
      draw();
    };
    model.series.arrived.connect(arrived);
    return () => {
      model.series.arrived.disconnect(arrived);
    };
  }, [model]);
  return counts.current;
}
