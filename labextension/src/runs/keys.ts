import type { KeyboardEvent } from 'react';

import type { RunsModel } from './model/model';
import { everything, focused, only, stepped, through, toggled } from './model/selection';

/** What the keyboard does in a list of runs; `page` are the rows that fit. Whether the key was for it. */
export function handleKey(
  event: KeyboardEvent,
  model: RunsModel,
  page: number,
  open: (run: string) => void
): boolean {
  const { selection } = model;
  const { order } = model.answer;
  const all = order.length;
  const steps: Partial<Record<string, number>> = {
    ArrowDown: 1,
    ArrowUp: -1,
    PageDown: page,
    PageUp: -page,
    Home: -all,
    End: all
  };
  const step = steps[event.key];
  if (step !== undefined && !event.altKey) {
    const next = stepped(selection, step, order);
    if (next !== null) {
      model.select(
        event.shiftKey
          ? through(selection, next, order)
          : event.ctrlKey || event.metaKey
            ? focused(selection, next)
            : only(next)
      );
    }
    return true;
  }
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'a') {
    model.select(everything(selection, order));
    return true;
  }
  const { cursor } = selection;
  if (event.key === 'Escape' && selection.ids.size) {
    model.select({ ...selection, ids: new Set() });
    return true;
  }
  if (cursor === null || event.ctrlKey || event.metaKey || event.altKey) {
    return false;
  }
  if (event.key === ' ') {
    model.select(event.shiftKey ? through(selection, cursor, order) : toggled(selection, cursor));
    return true;
  }
  if (event.key === 'Enter') {
    open(cursor);
    return true;
  }
  return false;
}

/** What a click selects. */
export function handleClick(
  event: { readonly ctrlKey: boolean; readonly metaKey: boolean; readonly shiftKey: boolean },
  model: RunsModel,
  run: string,
  box: boolean
): void {
  const { selection } = model;
  model.select(
    event.shiftKey
      ? through(selection, run, model.answer.order)
      : box || event.ctrlKey || event.metaKey
        ? toggled(selection, run)
        : only(run)
  );
}
