import { describe, expect, it } from 'vitest';

import { plain } from '../sidebar/fixtures';
import { ago, bytes, duration, number, span, time } from './format';
import { cut } from './text';

describe('short forms', () => {
  it.each([
    [0, '0'],
    [0.1 + 0.2, '0.3'],
    [1234567, '1234567'],
    [-0.000012345678, '−1.2346e−5'],
    [1.5e12, '1.5e12'],
    [2 / 3, '0.666667'],
    ['nan' as const, 'NaN'],
    ['-inf' as const, '−∞'],
    [null, '–']
  ])('the number %j is %s', (value, text) => {
    expect(number(value)).toBe(text);
  });

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1_000, '1.0 kB'],
    [999_600, '1.0 MB'],
    [60_000_000, '60.0 MB'],
    [123_456_789_012, '123 GB'],
    [null, '–']
  ])('%j bytes are %s', (size, text) => {
    expect(bytes(size)).toBe(text);
  });

  it.each([
    [400, '0.4 s'],
    [12_345, '12 s'],
    [200_000, '3 min 20 s'],
    [180_000, '3 min'],
    [7_500_000, '2 h 5 min'],
    [NaN, '–']
  ])('%j ms take %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it('times are short and relative to now', () => {
    const now = new Date(2026, 10, 25, 12, 0, 0);
    const at = (ms: number) => new Date(now.getTime() - ms).toISOString();
    expect(ago(at(10_000), plain, now)).toBe('just now');
    expect(ago(at(300_000), plain, now)).toBe('5 min ago');
    expect(ago(at(3 * 86_400_000), plain, now)).toBe('3 d ago');
    expect(time('nonsense', now)).toBe('–');
    expect(span(at(5_000), null, now)).toBe('5.0 s');
  });
});

describe('text from outside', () => {
  it('is cut, and nothing in it turns it around', () => {
    expect(cut('x'.repeat(10_000), 10)).toBe('xxxxxxxxxx…');
    expect(cut('\u202egnp.exe\u0007', 100)).toBe('\ufffdgnp.exe\ufffd');
    expect(cut('two\nlines\t.', 100)).toBe('two\nlines\t.');
  });
});
