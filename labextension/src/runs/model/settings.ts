import type { ColumnId } from './columns';

export interface ISort {
  readonly column: ColumnId;
  readonly descending: boolean;
}

/** In place of a person: whoever looks at the table. */
export const MINE = '@mine';

/** Which runs are looked at. `user`: whose, by `personKey`, or `MINE`; null means everyone's. */
export interface IScope {
  readonly thisNotebook: boolean;
  readonly user: string | null;
}

/** How a project's table was left; kept in JupyterLab's state database. */
export interface ISettings {
  /** Null while the table chooses by itself. */
  readonly shown: readonly ColumnId[] | null;
  readonly pinned: readonly ColumnId[];
  readonly widths: Readonly<Record<ColumnId, number>>;
  /** What is better for metrics whose name does not tell, or tells wrongly. */
  readonly directions: Readonly<Record<string, 'up' | 'down'>>;
  readonly sort: ISort;
  readonly scope: IScope;
}

export const NEWEST_FIRST: ISort = { column: 'started', descending: true };

export const DEFAULTS: ISettings = {
  shown: null,
  pinned: ['status', 'name'],
  widths: {},
  directions: {},
  sort: NEWEST_FIRST,
  scope: { thisNotebook: false, user: null }
};

const NARROWEST = 40;
const WIDEST = 900;

export function width(wanted: number): number {
  return Math.round(Math.min(Math.max(wanted, NARROWEST), WIDEST));
}

/** Settings as some version of this extension, or somebody by hand, left them; what makes no sense is as by default. */
export function parsed(kept: unknown): ISettings {
  const found = record(kept);
  const sort = record(found.sort);
  const scope = record(found.scope);
  return {
    shown: Array.isArray(found.shown) && found.shown.length ? texts(found.shown) : null,
    pinned: Array.isArray(found.pinned) ? texts(found.pinned) : DEFAULTS.pinned,
    widths: Object.fromEntries(
      Object.entries(record(found.widths)).flatMap(([id, value]) =>
        typeof value === 'number' && Number.isFinite(value) ? [[id, width(value)]] : []
      )
    ),
    directions: Object.fromEntries(
      Object.entries(record(found.directions)).flatMap(([key, value]) =>
        value === 'up' || value === 'down' ? [[key, value]] : []
      )
    ),
    sort:
      typeof sort.column === 'string'
        ? { column: sort.column, descending: sort.descending !== false }
        : NEWEST_FIRST,
    scope: {
      thisNotebook: scope.thisNotebook === true,
      user: typeof scope.user === 'string' ? scope.user : null
    }
  };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};
}

function texts(values: readonly unknown[]): readonly string[] {
  return values.filter((value): value is string => typeof value === 'string');
}

/** `shown` with `id` moved by `steps` places. */
export function moved(
  shown: readonly ColumnId[],
  id: ColumnId,
  steps: number
): readonly ColumnId[] {
  const from = shown.indexOf(id);
  if (from < 0) {
    return shown;
  }
  const rest = shown.filter(one => one !== id);
  const to = Math.min(Math.max(from + steps, 0), rest.length);
  return [...rest.slice(0, to), id, ...rest.slice(to)];
}

/** The columns as they stand from left to right: pinned ones first. */
export function placed(
  shown: readonly ColumnId[],
  pinned: readonly ColumnId[]
): { readonly pinned: readonly ColumnId[]; readonly free: readonly ColumnId[] } {
  return {
    pinned: shown.filter(id => pinned.includes(id)),
    free: shown.filter(id => !pinned.includes(id))
  };
}
