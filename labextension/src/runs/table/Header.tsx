import type { TranslationBundle } from '@jupyterlab/translation';
import { ellipsesIcon } from '@jupyterlab/ui-components';
import { useRef, type PointerEvent, type ReactElement } from 'react';

import { Clip } from '../../shared/text';
import type { IPoint } from '../menus';
import type { RunsModel } from '../model/model';
import { heading, longHeading } from '../texts';
import type { ILayout, IPlaced } from './layout';
import { classes } from './Row';

export const HEADER_HEIGHT = 30;

export interface IHeaderProps {
  readonly id: string;
  readonly layout: ILayout;
  readonly from: number;
  readonly to: number;
  /** The column with the keyboard's focus; null if it is in the rows. */
  readonly cursor: string | null;
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
  readonly onMenu: (placed: IPlaced, point: IPoint) => void;
}

export function Header(props: IHeaderProps): ReactElement {
  const { layout, from, to } = props;
  const gap = layout.free.slice(0, from).reduce((sum, one) => sum + one.width, 0);
  const cell = (placed: IPlaced): ReactElement => (
    <HeaderCell key={placed.column.id} placed={placed} {...props} />
  );
  return (
    <div
      role="row"
      aria-rowindex={1}
      className="nbl-run-row nbl-head"
      style={{ width: layout.width }}
    >
      <span className="nbl-box" aria-hidden="true" />
      {layout.pinned.map(cell)}
      {gap > 0 && <span className="nbl-gap" style={{ width: gap }} />}
      {layout.free.slice(from, to).map(cell)}
    </div>
  );
}

function HeaderCell(props: IHeaderProps & { readonly placed: IPlaced }): ReactElement {
  const { id, placed, cursor, model, trans, onMenu } = props;
  const { column, width, index, left } = placed;
  const { sort } = model.settings;
  const sorted = sort.column !== column.id ? 'none' : sort.descending ? 'descending' : 'ascending';
  const better = column.kind === 'metric' ? model.better(column.key) : null;
  const label = longHeading(column, trans);
  const hint = {
    up: trans.__('higher is better'),
    down: trans.__('lower is better'),
    none: ''
  }[better ?? 'none'];
  return (
    <div
      id={`${id}-head-${index}`}
      role="columnheader"
      aria-colindex={index}
      aria-sort={sorted}
      aria-label={hint ? `${label}, ${hint}` : label}
      className={classes(placed, cursor === column.id)}
      style={{ width, left }}
      title={hint ? `${label.slice(0, 400)} (${hint})` : label.slice(0, 400)}
      onClick={() => {
        model.sortBy(column);
      }}
      onContextMenu={event => {
        event.preventDefault();
        event.stopPropagation();
        onMenu(placed, { x: event.clientX, y: event.clientY });
      }}
    >
      <Clip
        text={heading(column, trans)}
        title=""
        className={`nbl-head-text nbl-mod-${column.kind}`}
      />
      {sorted !== 'none' && (
        <span className="nbl-sorted" aria-hidden="true">
          {sort.descending ? '▼' : '▲'}
        </span>
      )}
      <span
        className="nbl-head-menu"
        aria-hidden="true"
        onClick={event => {
          event.stopPropagation();
          const box = event.currentTarget.getBoundingClientRect();
          onMenu(placed, { x: box.left, y: box.bottom });
        }}
      >
        <ellipsesIcon.react tag="span" />
      </span>
      <Grip
        width={width}
        onResize={wanted => {
          model.resize(column.id, wanted);
        }}
      />
    </div>
  );
}

interface IGripProps {
  readonly width: number;
  readonly onResize: (width: number) => void;
}

/** The right edge of a column, to be pulled. */
function Grip({ width, onResize }: IGripProps): ReactElement {
  const start = useRef<{ readonly x: number; readonly width: number } | null>(null);
  const end = (event: PointerEvent<HTMLElement>): void => {
    start.current = null;
    event.currentTarget.releasePointerCapture(event.pointerId);
  };
  return (
    <span
      className="nbl-grip-column"
      aria-hidden="true"
      onClick={event => {
        event.stopPropagation();
      }}
      onPointerDown={event => {
        event.preventDefault();
        start.current = { x: event.clientX, width };
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={event => {
        if (start.current) {
          onResize(start.current.width + event.clientX - start.current.x);
        }
      }}
      onPointerUp={end}
      onPointerCancel={end}
    />
  );
}
