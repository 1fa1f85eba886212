import type { IRun } from '../api/types';

/** Where MLflow's own pages show these runs; null where the store is a file, which has no server of its own. */
export function address(uri: string, runs: readonly IRun[]): string | null {
  if (!/^https?:\/\//i.test(uri)) {
    return null;
  }
  const base = uri.replace(/\/+$/, '');
  const [first] = runs;
  if (!first) {
    return base;
  }
  if (runs.length === 1) {
    return `${base}/#/experiments/${encodeURIComponent(first.experiment_id)}/runs/${encodeURIComponent(first.run_id)}`;
  }
  const ids = encodeURIComponent(JSON.stringify(runs.map(run => run.run_id)));
  const experiments = encodeURIComponent(
    JSON.stringify([...new Set(runs.map(run => run.experiment_id))])
  );
  return `${base}/#/compare-runs?runs=${ids}&experiments=${experiments}`;
}
