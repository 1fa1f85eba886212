import type { TranslationBundle } from '@jupyterlab/translation';

import type { IRun, Num } from '../api/types';
import { number } from '../shared/format';
import { cut } from '../shared/text';
import type { IRunBundle } from './bundle';

/** What a mark below a cell says. */
export interface IMark {
  readonly status: string;
  readonly sign: string;
  readonly name: string;
  /** `accuracy 0.93`, or "". */
  readonly metric: string;
  /** Id of the run for its page; null while it is not known here. */
  readonly run: string | null;
  readonly edited: boolean;
  readonly title: string;
}

const SIGNS: Readonly<Record<string, string>> = {
  FINISHED: '✓',
  FAILED: '✗',
  KILLED: '■',
  RUNNING: '▸'
};

/**
 * The mark of a cell: what its output says of the run, and what the ledger knows of it by now. `digest` is that of the
 * cell's present source.
 */
export function markOf(
  bundle: IRunBundle,
  run: IRun | undefined,
  loaded: boolean,
  digest: string,
  trans: TranslationBundle
): IMark {
  const status = behind(bundle, run) ? bundle.status : (run?.status ?? bundle.status);
  const name = cut(run?.name ?? bundle.name, 200);
  const edited = bundle.source !== '' && bundle.source !== digest;
  const lines = [trans.__('%1: %2', name, status.toLowerCase())];
  if (!run) {
    lines.push(
      loaded
        ? trans.__('This run is not in the tracking store of this project, or not published yet')
        : trans.__('Looking for this run…')
    );
  }
  if (edited) {
    lines.push(trans.__('The cell was edited since: the run is of its earlier source'));
  }
  return {
    status,
    sign: SIGNS[status] ?? '·',
    name,
    metric: metricOf(bundle, run),
    run: run?.run_id ?? null,
    edited,
    title: lines.join('\n')
  };
}

/** Whether the store does not know yet that the run ended; what is published comes a moment after what the cell shows. */
function behind(bundle: IRunBundle, run: IRun | undefined): boolean {
  return run?.status === 'RUNNING' && bundle.status !== 'RUNNING';
}

/** The first metric of the summary, as it is now. */
function metricOf(bundle: IRunBundle, run: IRun | undefined): string {
  const newer = run && run.status !== 'RUNNING' ? run.metrics : {};
  const kept = Object.entries(bundle.metrics);
  const first = kept.find(([name]) => name === bundle.main) ?? kept[0];
  const any = Object.entries(run?.metrics ?? {}).sort(([a], [b]) => plainFirst(a, b))[0];
  const [key, value]: [string?, Num?] = first ?? any ?? [];
  return key === undefined ? '' : `${cut(key, 60)} ${number(newer[key] ?? value)}`;
}

function plainFirst(a: string, b: string): number {
  return Number(a.includes('.')) - Number(b.includes('.'));
}
