import type { TranslationBundle } from '@jupyterlab/translation';
import { memo, type ReactElement } from 'react';

import type { RunsModel } from '../model/model';
import type { IRow } from '../model/tree';
import { CellContent } from './Cell';
import type { ILayout, IPlaced } from './layout';

export const ROW_HEIGHT = 28;

export interface IRowProps {
  readonly id: string;
  readonly row: IRow;
  /** Counted from 0. */
  readonly at: number;
  readonly top: number;
  readonly layout: ILayout;
  /** Which of the columns that scroll are on screen. */
  readonly from: number;
  readonly to: number;
  readonly selected: boolean;
  /** The column with the keyboard's focus; null if another row has it. */
  readonly cursor: string | null;
  /** How often this run's curves came in. */
  readonly arrivals: number;
  readonly tree: boolean;
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}

function RunRow(props: IRowProps): ReactElement {
  const { id, row, at, top, layout, from, to, selected, cursor, tree, model, trans } = props;
  const cell = (placed: IPlaced): ReactElement => {
    const { column, width, index, left } = placed;
    return (
      <div
        key={column.id}
        id={`${id}-${row.run.run_id}-${index}`}
        role="gridcell"
        aria-colindex={index}
        className={classes(placed, cursor === column.id)}
        style={{ width, left }}
      >
        <CellContent row={row} column={column} width={width} model={model} trans={trans} />
      </div>
    );
  };
  const gap = layout.free.slice(0, from).reduce((sum, one) => sum + one.width, 0);
  return (
    <div
      role="row"
      aria-rowindex={at + 2}
      aria-selected={selected}
      aria-level={tree ? row.depth + 1 : undefined}
      aria-expanded={tree && row.children ? row.open : undefined}
      data-run={row.run.run_id}
      className={`nbl-run-row${selected ? ' nbl-mod-selected' : ''}${cursor !== null ? ' nbl-mod-cursor' : ''}${at % 2 ? ' nbl-mod-odd' : ''}`}
      style={{ transform: `translateY(${top}px)`, width: layout.width }}
    >
      <span className="nbl-box" data-box="true" aria-hidden="true">
        <span className="nbl-box-mark" />
      </span>
      {layout.pinned.map(cell)}
      {gap > 0 && <span className="nbl-gap" style={{ width: gap }} />}
      {layout.free.slice(from, to).map(cell)}
    </div>
  );
}

export function classes({ column, left }: IPlaced, focused: boolean): string {
  return [
    'nbl-cell',
    column.numeric ? 'nbl-mod-numeric' : '',
    left === undefined ? '' : 'nbl-mod-pinned',
    focused ? 'nbl-mod-focus' : ''
  ].join(' ');
}

/** Drawn again only when something that it shows changed. */
export const Row = memo(RunRow, (a, b) => {
  const { row: one, layout: a0, ...rest } = a;
  const { row: other, layout: b0, ...others } = b;
  return (
    one.run === other.run &&
    one.depth === other.depth &&
    one.children === other.children &&
    one.open === other.open &&
    a0.key === b0.key &&
    (Object.keys(rest) as (keyof typeof rest)[]).every(key => rest[key] === others[key])
  );
});
