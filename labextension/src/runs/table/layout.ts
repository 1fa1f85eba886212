import type { IColumn } from '../model/columns';

/** A column with its place in the table. */
export interface IPlaced {
  readonly column: IColumn;
  readonly width: number;
  /** Counted from 1, as screen readers say it. */
  readonly index: number;
  /** Where a pinned column stays; undefined for one that scrolls. */
  readonly left: number | undefined;
}

export interface ILayout {
  readonly pinned: readonly IPlaced[];
  readonly free: readonly IPlaced[];
  readonly pinnedWidth: number;
  readonly width: number;
  /** Changes when anything above does. */
  readonly key: string;
}

export const BOX = 28;

/** Where each column stands. Pinned ones stay only while they leave room for others. */
export function laidOut(
  columns: { readonly pinned: readonly IColumn[]; readonly free: readonly IColumn[] },
  widthOf: (column: IColumn) => number,
  viewport: number
): ILayout {
  let left = BOX;
  let index = 0;
  const stays =
    columns.pinned.reduce((sum, column) => sum + widthOf(column), BOX) <= 0.7 * viewport;
  const place = (column: IColumn, pinned: boolean): IPlaced => {
    const width = widthOf(column);
    index += 1;
    const one = { column, width, index, left: pinned && stays ? left : undefined };
    left += width;
    return one;
  };
  const pinned = columns.pinned.map(column => place(column, true));
  const pinnedWidth = left;
  const free = columns.free.map(column => place(column, false));
  const all = [...pinned, ...free];
  return {
    pinned,
    free,
    pinnedWidth,
    width: left,
    key: all
      .map(one => `${one.column.id}\u0000${one.width}\u0000${one.left ?? ''}${one.column.numeric}`)
      .join('\u0001')
  };
}
