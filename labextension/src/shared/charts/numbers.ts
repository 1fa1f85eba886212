import type { ISeriesPoint, Num } from '../../api/types';
import { float, number } from '../format';

/** What stands where there is no value. */
export const NONE = '–';

/** A number of the wire as one of JavaScript's; null where there is none. */
export function numeric(value: Num | null | undefined): number | null {
  return value === null || value === undefined ? null : float(value);
}

/** The least and the greatest finite value; widened where all are alike, null where there are none. */
export function extent(values: Iterable<number>): [number, number] | null {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (Number.isFinite(value)) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) {
    return null;
  }
  if (low === high) {
    const margin = Math.abs(low) / 2 || 1;
    return [low - margin, high + margin];
  }
  return [low, high];
}

/** The values of a series in one sentence, for those who do not see its curve. */
export function told(name: string, points: readonly ISeriesPoint[]): string {
  const first = points[0];
  const last = points[points.length - 1];
  return first && last
    ? `${name}: ${number(first[1])} → ${number(last[1])} (${points.length})`
    : `${name}: ${NONE}`;
}
