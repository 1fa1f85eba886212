import type { IRun } from '../../api/types';

/** A line of the table. */
export interface IRow {
  readonly run: IRun;
  /** 0 for a run that stands by itself, 1 for a child of it … */
  readonly depth: number;
  readonly children: number;
  readonly open: boolean;
}

const PARENT = 'mlflow.parentRunId';
/** A run with more children than these shows them when it is asked to. */
const MANY = 5;

/** The runs in their order, children right below their parent; `toggled` are those not left as they were. */
export function rowsOf(runs: readonly IRun[], toggled: ReadonlySet<string>): readonly IRow[] {
  const below = childrenOf(runs);
  if (!below.size) {
    return runs.map(run => ({ run, depth: 0, children: 0, open: false }));
  }
  const present = new Set(runs.map(run => run.run_id));
  const done = new Set<string>();
  const rows: IRow[] = [];
  const put = (run: IRun, depth: number, visible: boolean): void => {
    if (done.has(run.run_id)) {
      return;
    }
    done.add(run.run_id);
    const children = below.get(run.run_id) ?? [];
    const open = children.length > 0 && children.length <= MANY !== toggled.has(run.run_id);
    if (visible) {
      rows.push({ run, depth, children: children.length, open });
    }
    children.forEach(child => {
      put(child, depth + 1, visible && open);
    });
  };
  for (const run of runs) {
    const parent = run.tags[PARENT];
    if (parent === undefined || !present.has(parent)) {
      put(run, 0, true);
    }
  }
  // Runs that are each other's parents would have been passed over.
  runs.forEach(run => {
    put(run, 0, true);
  });
  return rows;
}

function childrenOf(runs: readonly IRun[]): Map<string, IRun[]> {
  const below = new Map<string, IRun[]>();
  const ids = new Set<string>();
  for (const run of runs) {
    if (run.tags[PARENT] !== undefined) {
      if (!ids.size) {
        runs.forEach(one => ids.add(one.run_id));
      }
      const parent = run.tags[PARENT];
      if (ids.has(parent) && parent !== run.run_id) {
        const siblings = below.get(parent);
        if (siblings) {
          siblings.push(run);
        } else {
          below.set(parent, [run]);
        }
      }
    }
  }
  return below;
}
