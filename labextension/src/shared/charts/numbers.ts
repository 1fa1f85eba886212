import type { ISeriesPoint, Num } from '../../api/types';

/** What stands where there is no value. */
export const NONE = '–';

/** A number of the wire as one of JavaScript's; null where there is none. */
export function numeric(value: Num | null | undefined): number | null {
  switch (value) {
    case undefined:
    case null:
      return null;
    case 'nan':
      return NaN;
    case 'inf':
      return Infinity;
    case '-inf':
      return -Infinity;
    default:
      return value;
  }
}

/** A number in at most some eight characters; the whole of it belongs into a tooltip. */
export function number(value: Num | null | undefined): string {
  const known = numeric(value);
  if (known === null) {
    return NONE;
  }
  if (!Number.isFinite(known)) {
    return Number.isNaN(known) ? 'NaN' : known > 0 ? '∞' : '−∞';
  }
  const size = Math.abs(known);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) {
    return known.toExponential(2).replace('-', '−').replace('e+', 'e').replace('e-', 'e−');
  }
  const shown = Number.isInteger(known) ? String(known) : String(Number(known.toPrecision(4)));
  return shown.replace('-', '−');
}

/** Milliseconds as people say them: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min, 3 d 4 h. */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) {
    return `${seconds.toFixed(1)} s`;
  }
  if (seconds < 60) {
    return `${Math.floor(seconds)} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return two(minutes, 'min', Math.floor(seconds % 60), 's');
  }
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? two(hours, 'h', minutes % 60, 'min')
    : two(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function two(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small ? `${big} ${bigUnit} ${small} ${smallUnit}` : `${big} ${bigUnit}`;
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
