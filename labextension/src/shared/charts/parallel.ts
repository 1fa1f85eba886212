import { scaleLinear, scalePoint } from 'd3-scale';

import { number } from '../format';
import { extent } from './numbers';

/** A value on an axis; null where the run has none. */
export type Coordinate = number | string | null;

export interface IAxis {
  readonly key: string;
  readonly name: string;
  readonly kind: 'parameter' | 'metric';
  readonly values: readonly Coordinate[];
}

export interface ILaidAxis {
  readonly axis: IAxis;
  readonly x: number;
  readonly ticks: readonly { readonly at: number; readonly label: string }[];
  /** Where each run crosses; null where it has no value. */
  readonly places: readonly (number | null)[];
}

const MOST_LABELS = 6;

/** Axes side by side: numbers to scale, anything else at equal distances. */
export function laidAxes(
  axes: readonly IAxis[],
  left: number,
  right: number,
  top: number,
  bottom: number
): readonly ILaidAxis[] {
  const distance = axes.length > 1 ? (right - left) / (axes.length - 1) : 0;
  return axes.map((axis, index) => ({
    axis,
    x: left + index * distance,
    ...onAxis(axis, top, bottom)
  }));
}

function onAxis(axis: IAxis, top: number, bottom: number): Pick<ILaidAxis, 'ticks' | 'places'> {
  const present = axis.values.filter(value => value !== null);
  if (present.every(value => typeof value === 'number')) {
    const range = extent(present);
    if (range) {
      const scale = scaleLinear(range, [bottom, top]);
      const ends = [...new Set([Math.min(...finite(present)), Math.max(...finite(present))])];
      return {
        ticks: ends.map(value => ({ at: scale(value), label: number(value) })),
        places: axis.values.map(value =>
          typeof value === 'number' && Number.isFinite(value) ? scale(value) : null
        )
      };
    }
  }
  const names = [...new Set(present.map(String))].sort();
  const scale = scalePoint(names, [bottom, top]).padding(names.length > 1 ? 0 : 0.5);
  const every = Math.ceil(names.length / MOST_LABELS);
  return {
    ticks: names
      .filter((_, index) => index % every === 0)
      .map(name => ({ at: scale(name) ?? top, label: name })),
    places: axis.values.map(value => (value === null ? null : (scale(String(value)) ?? null)))
  };
}

function finite(values: readonly number[]): number[] {
  return values.filter(value => Number.isFinite(value));
}

/** A parameter's text as a number where it is one. */
export function coordinate(value: string | null): Coordinate {
  if (value === null || value.trim() === '') {
    return value;
  }
  const known = Number(value);
  return Number.isFinite(known) ? known : value;
}
