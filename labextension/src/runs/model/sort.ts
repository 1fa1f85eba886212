import type { IRun } from '../../api/types';
import { numeric } from '../../shared/charts/numbers';
import { personName } from '../../shared/people';
import { isNumber, type IColumn } from './columns';

/** What a run shows in a column, as it is sorted: numbers before words. */
export type SortValue = number | string | null;

export function valueOf(run: IRun, column: IColumn, now: number): SortValue {
  switch (column.kind) {
    case 'metric':
      return numeric(run.metrics[column.key]);
    case 'param': {
      const value = run.params[column.key];
      return value === undefined ? null : isNumber(value) ? Number(value) : value.toLowerCase();
    }
    case 'data':
      return run.inputs.find(input => input.path === column.key)?.md5 ?? null;
    case 'fixed':
      return fixedValue(run, column.key, now);
  }
}

function fixedValue(run: IRun, key: string, now: number): SortValue {
  switch (key) {
    case 'status':
      return run.status;
    case 'name':
      return run.name.toLowerCase();
    case 'started':
      return time(run.start);
    case 'took':
      return took(run, now);
    case 'user':
      return personName(run.user).toLowerCase() || null;
    case 'notebook':
      return run.notebook;
    default:
      return run.experiment;
  }
}

export function time(at: string | null): number | null {
  return at === null ? null : Date.parse(at);
}

/** How long a run took, or has been running; in milliseconds. */
export function took(run: IRun, now: number): number | null {
  const start = time(run.start);
  if (start === null) {
    return null;
  }
  const end = time(run.end);
  if (end !== null) {
    return end - start;
  }
  return run.status === 'RUNNING' ? now - start : null;
}

const NUMBER = 0;
const WORD = 1;
const NOT_A_NUMBER = 2;
const MISSING = 3;

/** A column of all runs, read once; sorting it in either direction looks at nothing else. */
export class Index {
  constructor(
    readonly runs: readonly IRun[],
    column: IColumn,
    now: number
  ) {
    this.ranks = new Uint8Array(runs.length);
    this.numbers = new Float64Array(runs.length);
    runs.forEach((run, at) => {
      const value = valueOf(run, column, now);
      if (value === null) {
        this.ranks[at] = MISSING;
      } else if (typeof value === 'string') {
        this.ranks[at] = WORD;
        this.words[at] = value;
      } else {
        this.ranks[at] = Number.isNaN(value) ? NOT_A_NUMBER : NUMBER;
        this.numbers[at] = value;
      }
    });
  }

  /** The positions `of` in order: missing values last, NaN before them, in both directions; equal ones stay as they were. */
  order(of: Iterable<number>, descending: boolean): number[] {
    const { ranks, numbers, words } = this;
    const sign = descending ? -1 : 1;
    return Array.from(of).sort((a, b) => {
      const rank = ranks[a] ?? MISSING;
      const other = ranks[b] ?? MISSING;
      if (rank !== other) {
        return rank < MISSING && other < MISSING && rank + other === NUMBER + WORD
          ? sign * (rank - other)
          : rank - other;
      }
      if (rank === NUMBER) {
        return sign * ((numbers[a] ?? 0) - (numbers[b] ?? 0)) || 0;
      }
      if (rank === WORD) {
        const one = words[a] ?? '';
        const two = words[b] ?? '';
        return one === two ? 0 : one < two ? -sign : sign;
      }
      return 0;
    });
  }

  private readonly ranks: Uint8Array;
  private readonly numbers: Float64Array;
  private readonly words: string[] = [];
}
