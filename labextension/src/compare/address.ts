import type { Api } from '../api/api';
import type { IState } from '../api/types';
import { PRESENT } from './model';

/** Where MLflow keeps a run. */
export interface IPlace {
  readonly run_id: string;
  readonly experiment_id: string;
}

/** Where MLflow's own pages show these runs; null where the store is a file, which has no server of its own. */
export function address(uri: string, runs: readonly IPlace[]): string | null {
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

/** The store of another project than the one on screen, and where in it these runs are. */
export async function asked(
  api: Pick<Api, 'state' | 'detail'>,
  names: readonly string[]
): Promise<{ readonly state: IState; readonly runs: readonly IPlace[] }> {
  const runs = names.filter(name => name !== PRESENT);
  const [state, ...details] = await Promise.all([api.state(), ...runs.map(api.detail)]);
  return { state, runs: details.map(detail => detail.run) };
}
