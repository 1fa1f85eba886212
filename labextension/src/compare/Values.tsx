import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement, ReactNode } from 'react';

import type { IComparison, IRow, Num } from '../api/types';
import { best, mark, NONE, numeric, Swatch, type Direction } from '../shared/charts';
import { number } from '../shared/format';
import { Clip } from '../shared/text';
import type { CompareModel } from './model';
import { Capped, differ, Part } from './pieces';

const MOST = 30;

interface ITableProps {
  readonly names: readonly string[];
  readonly what: string;
  readonly extra?: string | undefined;
  readonly label: string;
  readonly children: ReactNode;
}

/** A table with a column each side. */
function SidesTable({ names, what, extra, label, children }: ITableProps): ReactElement {
  return (
    <div className="nbl-sides" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            <th scope="col">{what}</th>
            {names.map((name, at) => (
              <th key={at} scope="col" className={mark(at).className}>
                <Swatch index={at} />
                <Clip text={name} />
              </th>
            ))}
            {extra !== undefined && <th scope="col">{extra}</th>}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Anything with a name and a value each side: parameters, packages, seeds, hardware. */
export function Rows({
  title,
  what,
  rows,
  names,
  none,
  trans
}: {
  readonly title: string;
  readonly what: string;
  readonly rows: readonly IRow[];
  readonly names: readonly string[];
  /** What stands for a side that has no value. */
  readonly none: readonly string[];
  readonly trans: TranslationBundle;
}): ReactElement | null {
  if (!rows.length) {
    return null;
  }
  return (
    <Part title={title} count={rows.length}>
      <Capped all={rows} most={MOST} trans={trans}>
        {shown => (
          <SidesTable names={names} what={what} label={title}>
            {shown.map((row, at) => (
              <tr key={at} className={differ(row.values, none) ? 'nbl-mod-differs' : ''}>
                <th scope="row">
                  <Clip text={row.name} />
                  {row.note && <Clip text={row.note} className="nbl-quiet" />}
                </th>
                {names.map((_, side) => (
                  <td key={side}>
                    <Clip text={row.values[side] ?? none[side] ?? NONE} />
                  </td>
                ))}
              </tr>
            ))}
          </SidesTable>
        )}
      </Capped>
    </Part>
  );
}

interface IMetricsProps {
  readonly comparison: IComparison;
  readonly names: readonly string[];
  readonly model: CompareModel;
  readonly trans: TranslationBundle;
}

/** The metrics; the best of each is marked, where it is known what is better. */
export function Metrics({ comparison, names, model, trans }: IMetricsProps): ReactElement | null {
  const all = Object.entries(comparison.metrics);
  if (!all.length) {
    return null;
  }
  const two = names.length === 2;
  return (
    <Part title={trans.__('Metrics')} count={all.length}>
      <Capped all={all} most={MOST} trans={trans}>
        {shown => (
          <SidesTable
            names={names}
            what={trans.__('Metric')}
            extra={two ? trans.__('Difference') : undefined}
            label={trans.__('Metrics')}
          >
            {shown.map(([name, values]) => {
              const better = model.better(name);
              return (
                <tr key={name} className={differ(values) ? 'nbl-mod-differs' : ''}>
                  <th scope="row">
                    <DirectionSwitch
                      name={name}
                      better={better}
                      trans={trans}
                      onChange={next => {
                        model.prefer(name, next);
                      }}
                    />
                    <Clip text={name} />
                  </th>
                  <Values values={values} better={better} trans={trans} />
                  {two && (
                    <td>
                      <Delta name={name} comparison={comparison} better={better} trans={trans} />
                    </td>
                  )}
                </tr>
              );
            })}
          </SidesTable>
        )}
      </Capped>
    </Part>
  );
}

function Values({
  values,
  better,
  trans
}: {
  readonly values: readonly (Num | null)[];
  readonly better: Direction;
  readonly trans: TranslationBundle;
}): ReactElement {
  const tops = best(values.map(numeric), better);
  return (
    <>
      {values.map((value, side) => (
        <td key={side} title={value === null ? '' : String(value)}>
          <span className={`nbl-number${tops.includes(side) ? ' nbl-mod-best' : ''}`}>
            {number(value)}
            {tops.includes(side) && (
              <span className="nbl-visually-hidden"> {trans.__('best')}</span>
            )}
          </span>
        </td>
      ))}
    </>
  );
}

function Delta({
  name,
  comparison,
  better,
  trans
}: {
  readonly name: string;
  readonly comparison: IComparison;
  readonly better: Direction;
  readonly trans: TranslationBundle;
}): ReactElement | null {
  const delta = comparison.deltas[name];
  const change = numeric(delta?.absolute);
  if (!delta || change === null || change === 0) {
    return null;
  }
  const relative = numeric(delta.relative);
  const gain = better !== null && !Number.isNaN(change) && (better === 'up') === change > 0;
  const sign = change > 0 ? '+' : '';
  return (
    <span className="nbl-number">
      {sign}
      {number(delta.absolute)}
      {relative !== null && Number.isFinite(relative) && (
        <span className="nbl-quiet">
          {' '}
          ({sign}
          {number(Number((100 * relative).toPrecision(3)))} %)
        </span>
      )}
      {better !== null && (
        <span className={gain ? 'nbl-gain' : 'nbl-loss'}>
          {' '}
          {gain ? trans.__('better') : trans.__('worse')}
        </span>
      )}
    </span>
  );
}

interface ISwitchProps {
  readonly name: string;
  readonly better: Direction;
  readonly trans: TranslationBundle;
  readonly onChange: (better: 'up' | 'down') => void;
}

/** Whether more or less is better; a click turns it round, for good. */
function DirectionSwitch({ name, better, trans, onChange }: ISwitchProps): ReactElement {
  const said = {
    up: trans.__('%1: higher is better', name),
    down: trans.__('%1: lower is better', name),
    none: trans.__('%1: not known what is better', name)
  }[better ?? 'none'];
  return (
    <button
      type="button"
      className="nbl-direction"
      aria-label={said.slice(0, 400)}
      title={trans.__('%1. Click to change.', said.slice(0, 400))}
      onClick={() => {
        onChange(better === 'up' ? 'down' : 'up');
      }}
    >
      {{ up: '↑', down: '↓', none: '↕' }[better ?? 'none']}
    </button>
  );
}
