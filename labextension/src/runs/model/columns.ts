import type { IRun } from '../../api/types';
import { People } from '../../shared/people';

/** Names a column: one of `FIXED`, or `metrics.K`, `params.K`, `data.PATH`. */
export type ColumnId = string;
export type ColumnKind = 'fixed' | 'metric' | 'param' | 'data';

export interface IColumn {
  readonly id: ColumnId;
  readonly kind: ColumnKind;
  /** The name of the metric, parameter or file; of a fixed column its id. */
  readonly key: string;
  /** Right-aligned, and sorted the greatest first. */
  readonly numeric: boolean;
}

export const FIXED = [
  'status',
  'name',
  'started',
  'took',
  'user',
  'notebook',
  'experiment'
] as const;
export type FixedId = (typeof FIXED)[number];
const NUMERIC_FIXED: readonly string[] = ['started', 'took'];

/** What is known of a metric, parameter or file across all runs. */
interface IKnown {
  count: number;
  varies: boolean;
  numeric: boolean;
  first: string;
}

const PREFIX = { metric: 'metrics.', param: 'params.', data: 'data.' } as const;
type Free = keyof typeof PREFIX;

/** Every column that there could be. It grows with each run seen, so that an update need not look at all runs again. */
export class Catalogue {
  add(run: IRun): void {
    if (this.seen.get(run.run_id) === run) {
      return;
    }
    this.seen.set(run.run_id, run);
    for (const [key, value] of Object.entries(run.metrics)) {
      note(this.known.metric, key, String(value), true);
    }
    for (const [key, value] of Object.entries(run.params)) {
      note(this.known.param, key, value, isNumber(value));
    }
    for (const { path, md5 } of run.inputs) {
      note(this.known.data, path, md5, false);
    }
    this.people.add(run.user);
    this.notebooks.add(run.notebook ?? '');
    this.experiments.add(run.experiment);
  }

  clear(): void {
    this.seen.clear();
    Object.values(this.known).forEach(one => {
      one.clear();
    });
    [this.people, this.notebooks, this.experiments].forEach(one => {
      one.clear();
    });
  }

  /** The columns of a kind, those of most runs first. */
  list(kind: Free): readonly IColumn[] {
    return [...this.known[kind]]
      .sort(([a, one], [b, other]) => other.count - one.count || (a < b ? -1 : 1))
      .map(([key, { numeric }]) => ({ id: PREFIX[kind] + key, kind, key, numeric }));
  }

  varies(column: IColumn): boolean {
    return column.kind !== 'fixed' && this.known[column.kind].get(column.key)?.varies === true;
  }

  /** The column of this name, whether or not any run has a value for it. */
  column(id: ColumnId): IColumn {
    for (const kind of ['metric', 'param', 'data'] as const) {
      if (id.startsWith(PREFIX[kind])) {
        const key = id.slice(PREFIX[kind].length);
        const numeric = kind === 'metric' || (this.known[kind].get(key)?.numeric ?? false);
        return { id, kind, key, numeric };
      }
    }
    return { id, kind: 'fixed', key: id, numeric: NUMERIC_FIXED.includes(id) };
  }

  readonly people = new People();
  readonly notebooks = new Set<string>();
  readonly experiments = new Set<string>();
  private readonly seen = new Map<string, IRun>();
  private readonly known: Record<Free, Map<string, IKnown>> = {
    metric: new Map(),
    param: new Map(),
    data: new Map()
  };
}

function note(known: Map<string, IKnown>, key: string, value: string, numeric: boolean): void {
  const before = known.get(key);
  if (before) {
    before.count += 1;
    before.varies ||= before.first !== value;
    before.numeric &&= numeric;
  } else {
    known.set(key, { count: 1, varies: false, numeric, first: value });
  }
}

export function isNumber(value: string): boolean {
  return value.trim() !== '' && !Number.isNaN(Number(value));
}

/** Fewer than this would hide what the runs were made for; a narrow table scrolls. */
const LEAST = 6;

/**
 * The columns that say most: what every table has, then `room` others (six at least), of which metrics, and parameters
 * and data that are not the same everywhere, take turns.
 */
export function automatic(catalogue: Catalogue, space: number): readonly ColumnId[] {
  const room = Math.max(space, LEAST);
  const fixed: ColumnId[] = ['status', 'name', 'started', 'took'];
  const telling = (kind: Free): readonly ColumnId[] =>
    catalogue
      .list(kind)
      .filter(column => catalogue.varies(column))
      .map(column => column.id);
  const steady = catalogue
    .list('metric')
    .filter(column => !catalogue.varies(column))
    .map(column => column.id);
  const metrics = telling('metric');
  const others = [...telling('param'), ...telling('data')];
  const forMetrics = Math.min(
    metrics.length,
    Math.max(room - others.length, Math.ceil(room * 0.6))
  );
  const said = others.slice(0, Math.max(0, room - forMetrics));
  const chosen = [
    ...metrics.slice(0, forMetrics),
    ...steady.slice(0, Math.max(0, room - forMetrics - said.length)),
    ...said
  ];
  if (catalogue.people.size > 1) {
    chosen.push('user');
  }
  if (catalogue.notebooks.size > 1) {
    chosen.push('notebook');
  }
  if (catalogue.experiments.size > 1) {
    chosen.push('experiment');
  }
  return [...fixed, ...chosen];
}
