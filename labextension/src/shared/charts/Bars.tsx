import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { Num } from '../../api/types';
import { best, type Direction } from './direction';
import { mark } from './marks';
import { number } from '../format';
import { extent, numeric } from './numbers';

export interface IBarsProps {
  readonly title: string;
  readonly bars: readonly {
    readonly id: string;
    readonly name: string;
    readonly value: Num | null;
  }[];
  readonly direction: Direction;
  readonly trans: TranslationBundle;
}

/** One metric of some runs as bars from zero; the best one says so. */
export function Bars({ title, bars, direction, trans }: IBarsProps): ReactElement {
  const values = bars.map(bar => numeric(bar.value));
  const tops = best(values, direction);
  const [low, high] = extent([0, ...values.map(value => value ?? NaN)]) ?? [0, 1];
  const share = (value: number): number => ((value - low) / (high - low)) * 100;
  return (
    <figure className="nbl-chart nbl-bars">
      <figcaption>
        <bdi className="nbl-chart-title" title={title}>
          {title}
        </bdi>
      </figcaption>
      <table>
        <thead className="nbl-visually-hidden">
          <tr>
            <th scope="col">{trans.__('Run')}</th>
            <th scope="col" aria-label={trans.__('Bar')} />
            <th scope="col">{title}</th>
          </tr>
        </thead>
        <tbody>
          {bars.map((bar, index) => (
            <tr key={bar.id} className={mark(index).className}>
              <th scope="row" title={bar.name}>
                <bdi>{bar.name}</bdi>
              </th>
              <td className="nbl-bar">
                <Bar value={values[index] ?? null} share={share} />
              </td>
              <td className={`nbl-bar-value${tops.includes(index) ? ' nbl-mod-best' : ''}`}>
                {number(bar.value)}
                {tops.includes(index) && (
                  <span className="nbl-visually-hidden">{trans.__('best')}</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}

interface IBarProps {
  readonly value: number | null;
  readonly share: (value: number) => number;
}

function Bar({ value, share }: IBarProps): ReactElement | null {
  if (value === null || !Number.isFinite(value)) {
    return null;
  }
  const from = Math.min(share(0), share(value));
  const width = Math.max(0.5, Math.abs(share(value) - share(0)));
  return (
    <svg width="100%" height={10} aria-hidden="true">
      <rect x={`${from}%`} y={0} width={`${width}%`} height={10} rx={1} />
    </svg>
  );
}
