import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';

import type { ISeriesPoint } from '../../api/types';
import { number } from '../format';
import { extent, numeric } from './numbers';

/** One run's line. */
export interface ICurve {
  readonly id: string;
  readonly name: string;
  readonly points: readonly ISeriesPoint[];
}

/** What stands along the x axis: the step, or seconds since the curve's first point. */
export type Along = 'step' | 'time';

export interface IPlace {
  readonly x: number;
  readonly value: number;
}

export interface ILaidOut {
  readonly xs: readonly number[];
  readonly xTicks: readonly ITick[];
  readonly yTicks: readonly ITick[];
  readonly paths: readonly string[];
  readonly places: readonly (readonly IPlace[])[];
  /** Where a value of x or y is drawn. */
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
}

interface ITick {
  readonly at: number;
  readonly label: string;
}

export interface IFrame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Where everything of a chart is drawn; null where there is no finite value at all. */
export function laidOut(curves: readonly ICurve[], along: Along, frame: IFrame): ILaidOut | null {
  const places = curves.map(curve => placed(curve.points, along));
  const all = places.flat();
  const range = extent(all.map(place => place.value));
  const span = extent(all.map(place => place.x));
  if (!range || !span) {
    return null;
  }
  const x = scaleLinear(span, [frame.left, frame.width - frame.right]);
  const y = scaleLinear(range, [frame.height - frame.bottom, frame.top]).nice(4);
  const path = line<IPlace | null>()
    .defined(place => place !== null && Number.isFinite(place.value))
    .x(place => x(place?.x ?? 0))
    .y(place => y(place?.value ?? 0));
  const format = x.tickFormat(5);
  return {
    xs: [...new Set(all.map(place => place.x))].sort((a, b) => a - b),
    xTicks: x
      .ticks(Math.max(2, Math.floor(frame.width / 90)))
      .map(value => ({ at: x(value), label: format(value) })),
    yTicks: y.ticks(4).map(value => ({ at: y(value), label: number(value) })),
    paths: places.map(one => path(onward(one)) ?? ''),
    places,
    x: value => x(value),
    y: value => y(value)
  };
}

function placed(points: readonly ISeriesPoint[], along: Along): readonly IPlace[] {
  const began = points[0]?.[2] ?? 0;
  return points.map(([step, value, at]) => ({
    x: along === 'step' ? step : (at - began) / 1000,
    value: numeric(value) ?? NaN
  }));
}

/** With a gap wherever x goes back: a value logged at the end without a step, or a training that started again. */
export function onward<T extends { readonly x: number }>(places: readonly T[]): (T | null)[] {
  return places.flatMap((place, at) => {
    const before = places[at - 1];
    return before && place.x < before.x ? [null, place] : [place];
  });
}

/** The place of a curve that is nearest to `x`. */
export function nearest(places: readonly IPlace[], x: number): IPlace | null {
  let found: IPlace | null = null;
  for (const place of places) {
    if (found === null || Math.abs(place.x - x) < Math.abs(found.x - x)) {
      found = place;
    }
  }
  return found;
}
