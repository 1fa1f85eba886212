import type { TranslationBundle } from '@jupyterlab/translation';

import type { IRun } from '../api/types';
import { count } from '../shared/format';
import type { ColumnId, IColumn } from './model/columns';
import type { RunsModel } from './model/model';

export const VERDICT = 'nbledger.verdict';
export const REPRODUCES = 'nbledger.reproduces';

/** What stands at the head of a column. */
export function heading(column: IColumn, trans: TranslationBundle): string {
  if (column.kind !== 'fixed') {
    return column.key;
  }
  const fixed: Readonly<Record<ColumnId, string>> = {
    status: trans.__('Status'),
    name: trans.__('Name'),
    started: trans.__('Started'),
    took: trans.__('Took'),
    user: trans.__('User'),
    notebook: trans.__('Notebook'),
    experiment: trans.__('Experiment')
  };
  return fixed[column.key] ?? column.key;
}

/** The same where it stands by itself. */
export function longHeading(column: IColumn, trans: TranslationBundle): string {
  switch (column.kind) {
    case 'metric':
      return trans.__('metric %1', column.key);
    case 'param':
      return trans.__('parameter %1', column.key);
    case 'data':
      return trans.__('data %1', column.key);
    default:
      return heading(column, trans);
  }
}

/** How many runs there are, match, and are selected. */
export function summary(model: RunsModel, trans: TranslationBundle): string {
  const { total } = model.ledger.runs;
  const { ids } = model.selection;
  if (ids.size > 0) {
    return trans.__('%1 of %2 selected', count(ids.size), count(total));
  }
  const { matching } = model.answer;
  return model.narrowed
    ? trans.__('%1 of %2 runs', count(matching), count(total))
    : trans._n('%2 run', '%2 runs', total, count(total));
}

/** Whether the run is only in a journal here yet: the tracking server is away, or busy. */
export function waits(run: IRun): boolean {
  return run.tags['nbledger.pending'] === 'true';
}

/** Whether something else than nbledger recorded it: then only MLflow's own fields are known. */
export function isForeign(run: Pick<IRun, 'origin'>): boolean {
  return run.origin !== 'nbledger';
}

/** What recorded a run that nbledger did not. */
export function recordedBy(run: Pick<IRun, 'origin'>, trans: TranslationBundle): string {
  switch (run.origin) {
    case 'notebook':
      return trans.__('recorded by plain MLflow in a notebook');
    case 'script':
      return trans.__('recorded by plain MLflow in a script');
    case 'project':
      return trans.__('recorded by MLflow Projects');
    case 'job':
      return trans.__('recorded by plain MLflow in a job');
    default:
      return trans.__('recorded by another MLflow client');
  }
}

/** Of which run this one is a reproduction; null for any other. */
export function reproduced(run: IRun, model: RunsModel): string | null {
  const original = run.tags[REPRODUCES];
  return original === undefined
    ? null
    : (model.ledger.runs.get(original)?.name ?? original.slice(0, 8));
}

/** Said instead of a run that has no name. */
export function nameOf(run: IRun): string {
  return run.name || run.run_id.slice(0, 8);
}
