import type { TranslationBundle } from '@jupyterlab/translation';
import { useState, type ReactElement, type ReactNode } from 'react';

import { count } from '../shared/format';
import { TextButton } from '../shared/parts';
import { Said } from './pieces';

/** So many rows have no filter. */
const FEW = 12;

export interface IColumn<T> {
  /** "" for a column of buttons. */
  readonly name: string;
  readonly cell: (item: T) => ReactNode;
  readonly number?: boolean;
}

/** A table of a record's parts: the first rows, the rest when asked for, and a filter once there are many. */
export function Listing<T>(props: {
  label: string;
  columns: readonly IColumn<T>[];
  rows: readonly T[];
  id: (item: T) => string;
  /** What the filter looks at; without it there is none. */
  words?: (item: T) => string;
  most?: number;
  trans: TranslationBundle;
}): ReactElement {
  const { trans, rows, words, most = 100, columns } = props;
  const [filter, setFilter] = useState('');
  const [limit, setLimit] = useState(most);
  const wanted = filter.trim().toLowerCase();
  const found =
    wanted && words ? rows.filter(item => words(item).toLowerCase().includes(wanted)) : rows;
  const shown = found.slice(0, limit);
  return (
    <>
      {words && rows.length > FEW ? (
        <input
          type="search"
          className="jp-mod-styled nbl-detail-filter"
          placeholder={trans.__('Filter')}
          aria-label={trans.__('Filter: %1', props.label)}
          value={filter}
          onChange={event => {
            setFilter(event.target.value);
          }}
        />
      ) : null}
      {found.length ? (
        <table className="nbl-detail-listing" aria-label={props.label}>
          <thead>
            <tr>
              {columns.map((column, at) => (
                <th key={at} scope="col" data-number={column.number}>
                  {column.name || <span className="nbl-detail-unseen">{trans.__('Actions')}</span>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map(item => (
              <tr key={props.id(item)}>
                {columns.map((column, at) => (
                  <td key={at} data-number={column.number}>
                    {column.cell(item)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <Said>{trans.__('Nothing matches.')}</Said>
      )}
      {found.length > shown.length ? (
        <TextButton
          kind="minimal"
          label={trans.__('Show more (%1 of %2 shown)', count(shown.length), count(found.length))}
          onClick={() => {
            setLimit(limit + 500);
          }}
        />
      ) : null}
    </>
  );
}
