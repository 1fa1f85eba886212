import type { TranslationBundle } from '@jupyterlab/translation';
import { scaleLinear } from 'd3-scale';
import type { ReactElement } from 'react';

import type { IDataChange, IRow, ITableChange } from '../api/types';
import { mark, NONE, numeric } from '../shared/charts';
import { bytes, count } from '../shared/format';
import { Bdi, Clip, PathText } from '../shared/text';
import { Capped, Part } from './pieces';

const MOST_FILES = 12;
const MOST_ROWS = 10;

/** The data that the sides read, and how it differs: files, rows, columns, distributions. */
export function Data({
  data,
  none,
  trans
}: {
  readonly data: readonly IDataChange[];
  /** What stands for a side that has no version. */
  readonly none: readonly string[];
  readonly trans: TranslationBundle;
}): ReactElement | null {
  if (!data.length) {
    return null;
  }
  return (
    <Part title={trans.__('Data')} count={data.length}>
      <Capped all={data} most={MOST_FILES} trans={trans}>
        {shown =>
          shown.map((change, at) => (
            <Change key={`${change.path}-${at}`} change={change} none={none} trans={trans} />
          ))
        }
      </Capped>
    </Part>
  );
}

function Change({
  change,
  none,
  trans
}: {
  readonly change: IDataChange;
  readonly none: readonly string[];
  readonly trans: TranslationBundle;
}): ReactElement {
  const { path, other, state, values, sizes, derived, outside, needed, table } = change;
  return (
    <article className="nbl-change">
      <header>
        <PathText path={path} />
        <span className="nbl-chip">{stateText(state, trans)}</span>
        {derived && <span className="nbl-chip">{trans.__('written by the session')}</span>}
        {outside && <span className="nbl-chip">{trans.__('outside of the project')}</span>}
        {!needed && <span className="nbl-chip">{trans.__('the run does not depend on it')}</span>}
      </header>
      {other !== null && (
        <p>
          {trans.__('in place of')} <Bdi text={other} />
        </p>
      )}
      <p className="nbl-quiet nbl-number">
        {values.map((value, side) => (
          <span key={side} title={value ?? ''}>
            {side > 0 && ' → '}
            <span className="nbl-mono">{value?.slice(0, 8) ?? none[side] ?? NONE}</span>
            {typeof sizes[side] === 'number' && ` (${bytes(sizes[side])})`}
          </span>
        ))}
      </p>
      {change.read_by && (
        <p className="nbl-quiet">
          {trans.__('read by')} <Bdi text={change.read_by} />
        </p>
      )}
      {table && <Table table={table} trans={trans} />}
      <Named title={trans.__('Settings')} rows={change.keys} trans={trans} />
      <Named title={trans.__('Files')} rows={change.files} trans={trans} />
      {change.note && (
        <p>
          <Bdi text={change.note} />
        </p>
      )}
    </article>
  );
}

function stateText(state: string, trans: TranslationBundle): string {
  const words: Readonly<Record<string, string>> = {
    changed: trans.__('changed'),
    added: trans.__('added'),
    removed: trans.__('removed'),
    moved: trans.__('moved'),
    replaced: trans.__('replaced'),
    unknown: trans.__('not known')
  };
  return words[state] ?? state;
}

function Table({
  table,
  trans
}: {
  readonly table: ITableChange;
  readonly trans: TranslationBundle;
}): ReactElement {
  const said = [
    trans.__('%1 → %2 rows', count(table.rows[0]), count(table.rows[1])),
    table.added ? trans.__('%1 added', count(table.added)) : '',
    table.removed ? trans.__('%1 removed', count(table.removed)) : '',
    table.changed ? trans.__('%1 changed', count(table.changed)) : '',
    table.reordered ? trans.__('in another order') : '',
    table.key.length ? trans.__('rows matched by %1', table.key.join(', ').slice(0, 200)) : '',
    table.sampled === null ? '' : trans.__('looked at %1 rows', count(table.sampled))
  ].filter(Boolean);
  return (
    <>
      <p>{said.join(' · ')}</p>
      {table.columns.length > 0 && (
        <Capped all={table.columns} most={MOST_ROWS} trans={trans}>
          {shown => (
            <div className="nbl-sides" tabIndex={0} role="region" aria-label={trans.__('Columns')}>
              <table>
                <thead>
                  <tr>
                    <th scope="col">{trans.__('Column')}</th>
                    <th scope="col">{trans.__('Distribution')}</th>
                    <th scope="col">{trans.__('Change')}</th>
                  </tr>
                </thead>
                <tbody>
                  {shown.map(column => (
                    <tr key={column.name}>
                      <th scope="row">
                        <Clip text={column.name} />
                      </th>
                      <td>
                        <Distribution stats={column.stats} label={column.what || column.state} />
                      </td>
                      <td className="nbl-mod-wrap">
                        <Bdi text={column.what || stateText(column.state, trans)} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Capped>
      )}
    </>
  );
}

const WIDTH = 160;
const HEIGHT = 30;

/** Both distributions as boxes: from 5 to 95 %, the middle half, the median. */
function Distribution({
  stats,
  label
}: {
  readonly stats: ITableChange['columns'][number]['stats'];
  readonly label: string;
}): ReactElement | null {
  const at = (name: string, side: 0 | 1): number | null => {
    const value = numeric(stats[name]?.[side]);
    return value !== null && Number.isFinite(value) ? value : null;
  };
  const ends = ([0, 1] as const).flatMap(side => [at('q5', side), at('q95', side)]);
  const known = ends.filter(value => value !== null);
  if (known.length < 2) {
    return null;
  }
  const low = Math.min(...known);
  const high = Math.max(...known);
  const x = scaleLinear([low, high === low ? low + 1 : high], [3, WIDTH - 3]);
  return (
    <svg width={WIDTH} height={HEIGHT} role="img" aria-label={label.slice(0, 300)}>
      {([0, 1] as const).map(side => {
        const [q5, q25, q50, q75, q95] = ['q5', 'q25', 'q50', 'q75', 'q95'].map(name =>
          at(name, side)
        );
        const y = 8 + side * 14;
        return typeof q5 === 'number' &&
          typeof q25 === 'number' &&
          typeof q50 === 'number' &&
          typeof q75 === 'number' &&
          typeof q95 === 'number' ? (
          <g key={side} className={`nbl-distribution ${mark(side).className}`}>
            <line x1={x(q5)} x2={x(q95)} y1={y} y2={y} strokeDasharray={mark(side).dash} />
            <rect x={x(q25)} width={Math.max(1, x(q75) - x(q25))} y={y - 4} height={8} />
            <line className="nbl-median" x1={x(q50)} x2={x(q50)} y1={y - 5} y2={y + 5} />
          </g>
        ) : null;
      })}
    </svg>
  );
}

function Named({
  title,
  rows,
  trans
}: {
  readonly title: string;
  readonly rows: readonly IRow[];
  readonly trans: TranslationBundle;
}): ReactElement | null {
  return rows.length === 0 ? null : (
    <Capped all={rows} most={MOST_ROWS} trans={trans}>
      {shown => (
        <ul className="nbl-named" aria-label={title}>
          {shown.map((row, at) => (
            <li key={at}>
              <Bdi text={row.name} />{' '}
              <span className="nbl-quiet">
                <Bdi text={row.values.map(value => short(value)).join(' → ')} />
              </span>
              {row.note && <Bdi text={` ${row.note}`} />}
            </li>
          ))}
        </ul>
      )}
    </Capped>
  );
}

function short(value: string | null): string {
  return value === null ? NONE : /^[0-9a-f]{32}(\.dir)?$/.test(value) ? value.slice(0, 8) : value;
}
