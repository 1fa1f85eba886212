import type { TranslationBundle } from '@jupyterlab/translation';
import { useVirtualizer } from '@tanstack/react-virtual';
import {
  useEffect,
  useId,
  useLayoutEffect,
  useRef,
  useState,
  type KeyboardEvent,
  type MouseEvent,
  type ReactElement
} from 'react';

import { useWidth } from '../../shared/charts/width';
import { useArrivals, useModel } from '../hooks';
import { handleClick, handleKey } from '../keys';
import type { IPoint } from '../menus';
import type { IColumn } from '../model/columns';
import type { RunsModel } from '../model/model';
import type { IRow } from '../model/tree';
import { Header, HEADER_HEIGHT } from './Header';
import { laidOut, type ILayout, type IPlaced } from './layout';
import { Row, ROW_HEIGHT } from './Row';

export interface ITableProps {
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
  readonly onOpen: (run: string) => void;
  readonly onRunMenu: (run: string, point: IPoint) => void;
  readonly onHeaderMenu: (column: IColumn, room: number, point: IPoint) => void;
}

/** How many columns of a usual width fit beside those that every table has. */
export function roomIn(width: number): number {
  return Math.max(3, Math.floor((width - 510) / 130));
}

/** The runs as a grid of which only what is on screen is in the page. */
export function Table(props: ITableProps): ReactElement {
  const { model, trans, onOpen, onRunMenu, onHeaderMenu } = props;
  const changes = useModel(model);
  const arrivals = useArrivals(model);
  const id = useId();
  const [place, viewport] = useWidth<HTMLDivElement>(900);
  const [focus, setFocus] = useState({ column: 'name', head: false });
  const { rows } = model.answer;
  const room = roomIn(viewport);
  const layout = laidOut(model.columns(room), column => model.width(column), viewport);
  const { rowsShown, columnsShown, scrollTo } = useWindow(place, rows, layout);
  useSteadyScroll(place, rows, changes);

  const { cursor } = model.selection;
  const at = cursor === null ? undefined : model.answer.place.get(cursor);
  const all = [...layout.pinned, ...layout.free];
  const column = all.find(one => one.column.id === focus.column) ?? all[0];
  const seen = useRef(cursor);
  useEffect(() => {
    if (seen.current !== cursor && at !== undefined) {
      scrollTo(at, null);
    }
    seen.current = cursor;
  });

  const go = (steps: number): void => {
    const next =
      all[Math.min(Math.max((column ? all.indexOf(column) : 0) + steps, 0), all.length - 1)];
    if (next) {
      setFocus({ ...focus, column: next.column.id });
      scrollTo(null, layout.free.indexOf(next));
    }
  };
  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>): void => {
    if (!column || event.defaultPrevented) {
      return;
    }
    const row = at === undefined ? undefined : rows[at];
    const menu = event.key === 'ContextMenu' || (event.shiftKey && event.key === 'F10');
    const point = (): IPoint => below(place.current, active(id, focus.head, row, column));
    if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      if (!focus.head && event.altKey && row?.children) {
        if (row.open === (event.key === 'ArrowLeft')) {
          model.toggleRow(row.run.run_id);
        }
      } else {
        go(event.key === 'ArrowRight' ? 1 : -1);
      }
    } else if (menu || (focus.head && event.altKey && event.key === 'ArrowDown')) {
      if (focus.head) {
        onHeaderMenu(column.column, room, point());
      } else if (row) {
        onRunMenu(row.run.run_id, point());
      }
    } else if (focus.head) {
      if (event.key === 'Enter' || event.key === ' ') {
        model.sortBy(column.column);
      } else if (event.key === 'ArrowDown' || event.key === 'Escape') {
        setFocus({ ...focus, head: false });
      } else {
        return;
      }
    } else if (event.key === 'ArrowUp' && !event.shiftKey && (at === undefined || at === 0)) {
      setFocus({ ...focus, head: true });
    } else if (!handleKey(event, model, pageOf(place.current), onOpen)) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const onClick = (event: MouseEvent<HTMLDivElement>): void => {
    const { run, box, toggle, index } = under(event);
    if (run === null) {
      return;
    }
    const clicked = all.find(one => one.index === index);
    setFocus({ column: clicked?.column.id ?? focus.column, head: false });
    if (toggle) {
      model.toggleRow(run);
    } else {
      handleClick(event, model, run, box);
    }
  };

  const { tree } = model.answer;
  // A row that comes into sight takes the elements of one that left it: much cheaper than new ones while scrolling.
  const slots = useRef(0);
  slots.current = Math.max(slots.current, rowsShown.length);
  return (
    <div
      ref={place}
      className="nbl-grid"
      role={tree ? 'treegrid' : 'grid'}
      tabIndex={0}
      aria-label={trans.__('Runs')}
      aria-rowcount={rows.length + 1}
      aria-colcount={all.length}
      aria-multiselectable="true"
      aria-activedescendant={
        column && active(id, focus.head, at === undefined ? undefined : rows[at], column)
      }
      onKeyDown={onKeyDown}
      onClick={onClick}
      onDoubleClick={event => {
        const { run, toggle, box } = under(event);
        if (run !== null && !toggle && !box) {
          onOpen(run);
        }
      }}
      onContextMenu={event => {
        const { run } = under(event);
        if (run !== null) {
          event.preventDefault();
          event.stopPropagation();
          onRunMenu(run, { x: event.clientX, y: event.clientY });
        }
      }}
    >
      <div
        role="rowgroup"
        className="nbl-grid-head"
        style={{ width: layout.width, height: HEADER_HEIGHT }}
      >
        <Header
          id={id}
          layout={layout}
          from={columnsShown.from}
          to={columnsShown.to}
          cursor={focus.head ? (column?.column.id ?? null) : null}
          model={model}
          trans={trans}
          onMenu={(placed, point) => {
            onHeaderMenu(placed.column, room, point);
          }}
        />
      </div>
      <div
        role="rowgroup"
        className="nbl-grid-body"
        style={{ height: rows.length * ROW_HEIGHT, width: layout.width }}
      >
        {rowsShown.map(index => {
          const row = rows[index];
          return row ? (
            <Row
              key={index % slots.current}
              id={id}
              row={row}
              at={index}
              top={index * ROW_HEIGHT}
              layout={layout}
              from={columnsShown.from}
              to={columnsShown.to}
              selected={model.selection.ids.has(row.run.run_id)}
              cursor={!focus.head && index === at ? (column?.column.id ?? null) : null}
              arrivals={arrivals.get(row.run.run_id) ?? 0}
              tree={tree}
              model={model}
              trans={trans}
            />
          ) : null;
        })}
      </div>
    </div>
  );
}

interface IWindow {
  readonly rowsShown: readonly number[];
  readonly columnsShown: { readonly from: number; readonly to: number };
  readonly scrollTo: (row: number | null, column: number | null) => void;
}

/** Which rows and columns are on screen. */
function useWindow(
  place: React.RefObject<HTMLDivElement>,
  rows: readonly IRow[],
  layout: ILayout
): IWindow {
  const lines = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 8,
    scrollMargin: HEADER_HEIGHT,
    scrollPaddingStart: HEADER_HEIGHT
  });
  const across = useVirtualizer({
    horizontal: true,
    count: layout.free.length,
    getScrollElement: () => place.current,
    estimateSize: index => layout.free[index]?.width ?? 0,
    overscan: 2,
    scrollMargin: layout.pinnedWidth,
    scrollPaddingStart: layout.pinnedWidth
  });
  useLayoutEffect(() => {
    across.measure();
  }, [across, layout.key]);
  const items = across.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const last = items[items.length - 1]?.index ?? Math.min(layout.free.length, 12) - 1;
  return {
    rowsShown: lines.getVirtualItems().map(item => item.index),
    columnsShown: { from: first, to: last + 1 },
    scrollTo: (row, column) => {
      if (row !== null && row >= 0) {
        lines.scrollToIndex(row, { align: 'auto' });
      }
      if (column !== null && column >= 0) {
        across.scrollToIndex(column, { align: 'auto' });
      }
    }
  };
}

/** New runs push nothing away: the row on top stays where it is. Another order or filter starts at the top. */
function useSteadyScroll(
  place: React.RefObject<HTMLDivElement>,
  rows: readonly IRow[],
  changes: ReadonlySet<string>
): void {
  const before = useRef(rows);
  useLayoutEffect(() => {
    const scroller = place.current;
    const old = before.current;
    before.current = rows;
    if (!scroller || old === rows) {
      return;
    }
    if (changes.has('view')) {
      scroller.scrollTop = 0;
      return;
    }
    const top = Math.floor(scroller.scrollTop / ROW_HEIGHT);
    const run = scroller.scrollTop > 0 ? old[top]?.run.run_id : undefined;
    if (run !== undefined && rows[top]?.run.run_id !== run) {
      const now = rows.findIndex(row => row.run.run_id === run);
      if (now >= 0) {
        scroller.scrollTop += (now - top) * ROW_HEIGHT;
      }
    }
  });
}

/** The id of the cell with the keyboard's focus. */
function active(
  id: string,
  head: boolean,
  row: IRow | undefined,
  { index }: IPlaced
): string | undefined {
  return head ? `${id}-head-${index}` : row && `${id}-${row.run.run_id}-${index}`;
}

function pageOf(grid: HTMLElement | null): number {
  return Math.max(1, Math.floor(((grid?.clientHeight ?? 0) - HEADER_HEIGHT) / ROW_HEIGHT) - 1);
}

function below(grid: HTMLElement | null, id: string | undefined): IPoint {
  const cell = id === undefined ? null : document.getElementById(id);
  const box = (cell ?? grid)?.getBoundingClientRect();
  return { x: box?.left ?? 0, y: (cell ? box?.bottom : box?.top) ?? 0 };
}

function under(event: MouseEvent): {
  readonly run: string | null;
  readonly box: boolean;
  readonly toggle: boolean;
  readonly index: number;
} {
  const target = event.target as Element;
  return {
    run: target.closest('[data-run]')?.getAttribute('data-run') ?? null,
    box: target.closest('[data-box]') !== null,
    toggle: target.closest('[data-toggle]') !== null,
    index: Number(target.closest('[aria-colindex]')?.getAttribute('aria-colindex') ?? 0)
  };
}
