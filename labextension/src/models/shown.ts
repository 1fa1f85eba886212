/** What somebody chose to see of each model. It lives beside the page, which is drawn anew when its tab is moved or closed. */

import { useReducer } from 'react';

export const PARTS = ['origin', 'graph', 'decisions'] as const;
export type Part = (typeof PARTS)[number];

export interface IShown {
  /** null until somebody opens or closes it: few models are open from the start. */
  readonly open: boolean | null;
  /** A version's number; null follows the foremost one. */
  readonly version: string | null;
  readonly part: Part;
  /** The graph as a table; null until somebody says which: a large one is. */
  readonly table: boolean | null;
}

/** By the model's name. */
export type Shown = Map<string, IShown>;

const FIRST: IShown = { open: null, version: null, part: 'origin', table: null };

export function shownOf(all: Shown, model: string): IShown {
  return all.get(model) ?? FIRST;
}

export function show(all: Shown, model: string, changes: Partial<IShown>): void {
  all.set(model, { ...shownOf(all, model), ...changes });
}

/** What is chosen of `model`, and how to choose something else. */
export function useShown(
  all: Shown,
  model: string
): readonly [IShown, (changes: Partial<IShown>) => void] {
  const [, draw] = useReducer((n: number) => n + 1, 0);
  return [
    shownOf(all, model),
    changes => {
      show(all, model, changes);
      draw();
    }
  ];
}
