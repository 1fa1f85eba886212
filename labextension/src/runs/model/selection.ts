/** What is selected, by run id, so that it stays while the table changes below it. */
export interface ISelection {
  readonly ids: ReadonlySet<string>;
  /** Where a range starts. */
  readonly anchor: string | null;
  /** The run with the keyboard's focus. */
  readonly cursor: string | null;
}

export const NOTHING: ISelection = { ids: new Set(), anchor: null, cursor: null };

/** The runs of the table, in order. */
type Order = readonly string[];

export function only(id: string): ISelection {
  return { ids: new Set([id]), anchor: id, cursor: id };
}

export function toggled(selection: ISelection, id: string): ISelection {
  const ids = new Set(selection.ids);
  if (!ids.delete(id)) {
    ids.add(id);
  }
  return { ids, anchor: id, cursor: id };
}

/** Everything from the anchor to `id`, in place of what was selected. */
export function through(selection: ISelection, id: string, order: Order): ISelection {
  const anchor = selection.anchor ?? selection.cursor ?? id;
  const from = order.indexOf(anchor);
  const to = order.indexOf(id);
  if (from < 0 || to < 0) {
    return only(id);
  }
  const ids = new Set(order.slice(Math.min(from, to), Math.max(from, to) + 1));
  return { ids, anchor, cursor: id };
}

export function everything(selection: ISelection, order: Order): ISelection {
  return { ...selection, ids: new Set(order) };
}

export function focused(selection: ISelection, id: string): ISelection {
  return { ...selection, cursor: id };
}

/** Where the cursor comes to by `steps`; null in an empty table. */
export function stepped(selection: ISelection, steps: number, order: Order): string | null {
  const now = selection.cursor === null ? -1 : order.indexOf(selection.cursor);
  const next = now < 0 && steps > 0 ? steps - 1 : now + steps;
  return order[Math.min(Math.max(next, 0), order.length - 1)] ?? null;
}

/** Without runs that are no more. */
export function pruned(selection: ISelection, exists: (id: string) => boolean): ISelection {
  const { ids, anchor, cursor } = selection;
  const gone = (id: string | null): boolean => id !== null && !exists(id);
  if (!gone(anchor) && !gone(cursor) && [...ids].every(exists)) {
    return selection;
  }
  return {
    ids: new Set([...ids].filter(exists)),
    anchor: gone(anchor) ? null : anchor,
    cursor: gone(cursor) ? null : cursor
  };
}
