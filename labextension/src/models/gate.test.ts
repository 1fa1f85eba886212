import { expect, it } from 'vitest';

import type { IModelVersion } from '../api/types';
import { foremost, gateOf, newestFirst } from './gate';

const version = (number: string, aliases: string[] = [], gate: Record<string, string> = {}) =>
  ({ version: number, aliases, gate }) as unknown as IModelVersion;

it('a version that no gate wrote on has none', () => {
  expect(gateOf(version('1'))).toBeNull();
});

it.each([
  [{ state: 'passed', by: 'ada' }, 'passed', 'good'],
  [{ 'nbledger.gate.state': 'refused' }, 'refused', 'bad'],
  [{ state: 'waiting' }, 'waiting', 'warn'],
  [{ condition: 'a > b' }, '', 'plain']
])('what a gate wrote: %j', (gate, word, mood) => {
  expect(gateOf(version('1', [], gate))).toMatchObject({ word, mood });
});

it('the champion comes first, then what an alias names, then the newest', () => {
  const [one, two, ten] = [version('1'), version('2', ['x']), version('10')];
  expect(newestFirst([one, ten, two].map(v => v)).map(v => v.version)).toEqual(['10', '2', '1']);
  expect(foremost([one, ten])?.version).toBe('10');
  expect(foremost([ten, two])?.version).toBe('2');
  expect(foremost([two, version('3', ['champion'])])?.version).toBe('3');
  expect(foremost([])).toBeUndefined();
});
