import type { Num } from '../api/types';

/** The type under which a summary below a cell says which run it is of (`magics/nbledger_magics/bundle.py`). */
export const MIME = 'application/vnd.nbledger.run+json';

export interface IRunBundle {
  readonly journal: string;
  readonly run_id: string | null;
  readonly name: string;
  readonly status: string;
  readonly metrics: Readonly<Record<string, Num>>;
  /** The metric that comes first; "" where there is none. */
  readonly main: string;
  /** Digest of the source that ran. */
  readonly source: string;
}

/** An output, as far as its bundle goes. */
export interface IBundled {
  readonly data: Readonly<Record<string, unknown>>;
}

/** The last run that a cell's outputs tell of; null where none does. A notebook may come from anywhere: nothing is trusted. */
export function bundleOf(outputs: Iterable<IBundled>): IRunBundle | null {
  let found: IRunBundle | null = null;
  for (const output of outputs) {
    found = read(output.data[MIME]) ?? found;
  }
  return found;
}

function read(value: unknown): IRunBundle | null {
  if (value === null || typeof value !== 'object') {
    return null;
  }
  const fields = value as Record<string, unknown>;
  const { journal, run_id: run, name, status, metrics, main, source } = fields;
  if (typeof journal !== 'string' || typeof name !== 'string' || typeof status !== 'string') {
    return null;
  }
  return {
    journal,
    run_id: typeof run === 'string' ? run : null,
    name,
    status,
    metrics: numbers(metrics),
    main: typeof main === 'string' ? main : '',
    source: typeof source === 'string' ? source : ''
  };
}

function numbers(metrics: unknown): Record<string, Num> {
  const entries = metrics !== null && typeof metrics === 'object' ? Object.entries(metrics) : [];
  return Object.fromEntries(entries.filter((entry): entry is [string, Num] => isNum(entry[1])));
}

function isNum(value: unknown): value is Num {
  return typeof value === 'number' || value === 'nan' || value === 'inf' || value === '-inf';
}
