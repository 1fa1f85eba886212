import type { TranslationBundle } from '@jupyterlab/translation';

import type { Num } from '../api/types';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `12:03`, `Tue 12:03`, `3 Nov`, `3 Nov 2025`: short, local, for a column. */
export function time(iso: string | null, now: Date = new Date()): string {
  const at = parsed(iso);
  if (!at) {
    return '–';
  }
  const clock: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
  if (at.toDateString() === now.toDateString()) {
    return at.toLocaleTimeString(undefined, clock);
  }
  if (Math.abs(now.getTime() - at.getTime()) < 6 * DAY) {
    return at.toLocaleString(undefined, { weekday: 'short', ...clock });
  }
  const year = at.getFullYear() === now.getFullYear() ? {} : ({ year: 'numeric' } as const);
  return at.toLocaleDateString(undefined, { day: 'numeric', month: 'short', ...year });
}

/** The whole moment, local, for a title. */
export function moment(iso: string | null): string {
  return (
    parsed(iso)?.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' }) ?? '–'
  );
}

/** `just now`, `5 min ago`, `3 h ago`, `2 d ago`. */
export function ago(iso: string | null, trans: TranslationBundle, now: Date = new Date()): string {
  const at = parsed(iso);
  if (!at) {
    return '–';
  }
  const passed = now.getTime() - at.getTime();
  if (passed < MINUTE) {
    return trans.__('just now');
  }
  if (passed < HOUR) {
    return trans.__('%1 min ago', Math.floor(passed / MINUTE));
  }
  return passed < DAY
    ? trans.__('%1 h ago', Math.floor(passed / HOUR))
    : trans.__('%1 d ago', Math.floor(passed / DAY));
}

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(ms: number | null): string {
  if (ms === null || !Number.isFinite(ms) || ms < 0) {
    return '–';
  }
  if (ms < MINUTE) {
    return ms < 9_950 ? `${(ms / SECOND).toFixed(1)} s` : `${Math.round(ms / SECOND)} s`;
  }
  const [unit, small, big, little]: [number, number, string, string] =
    ms < HOUR ? [MINUTE, SECOND, 'min', 's'] : [HOUR, MINUTE, 'h', 'min'];
  const rest = Math.floor((ms % unit) / small);
  return `${Math.floor(ms / unit)} ${big}${rest ? ` ${rest} ${little}` : ''}`;
}

/** How long from `start` to `end`, or until now. */
export function span(start: string | null, end: string | null, now: Date = new Date()): string {
  const from = parsed(start);
  return duration(from ? (parsed(end) ?? now).getTime() - from.getTime() : null);
}

/** Six significant digits at most, no zeros behind; `NaN`, `∞`, `−∞`. */
export function number(value: Num | null | undefined): string {
  if (value === null || value === undefined) {
    return '–';
  }
  if (typeof value === 'string') {
    return { nan: 'NaN', inf: '∞', '-inf': '−∞' }[value];
  }
  const size = Math.abs(value);
  const plain =
    size !== 0 && (size < 1e-4 || size >= 1e9)
      ? value.toExponential(4).replace(/\.?0+e/, 'e')
      : Number.isInteger(value)
        ? String(value)
        : String(Number(value.toPrecision(6)));
  return plain.replace('e+', 'e').replace(/-/g, '−');
}

/** As a float; what JSON could not carry included. */
export function float(value: Num): number {
  return typeof value === 'number' ? value : { nan: NaN, inf: Infinity, '-inf': -Infinity }[value];
}

/** `0 B`, `12.3 kB`, `4.5 GB` (powers of ten, as file managers and DVC count). */
export function bytes(size: number | null): string {
  if (size === null) {
    return '–';
  }
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = size;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 99.95 ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ''}`;
}

/** `1,234`. */
export function count(value: number): string {
  return value.toLocaleString();
}

function parsed(iso: string | null): Date | null {
  const at = iso ? new Date(iso) : null;
  return at && !Number.isNaN(at.getTime()) ? at : null;
}
