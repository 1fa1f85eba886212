import { describe, expect, it } from 'vitest';

import { isTracked } from './tracked';

describe('a tracked cell', () => {
  it.each([
    '%%mlrun',
    '%%mlrun forest -p n=50\nfit()',
    '\n\n%%mlrun',
    '%%time\n%%mlrun forest\nfit()',
    '%load_ext nbledger\n%mlrun start forest',
    'run = %mlrun start',
    'if True:\n    %mlrun start',
    '%%stage train -d data.csv\nfit()',
    '%ledger checkpoint -m "three runs"',
    '%ledger repro'
  ])('is %j', source => {
    expect(isTracked(source)).toBe(true);
  });

  it.each([
    '',
    'fit()',
    '# %%mlrun',
    '%%mlrunner',
    'x = 5 %mlrun',
    '%mlrun stop',
    '%mlrun show',
    '%ledger status',
    '%runs',
    "print('%%mlrun')"
  ])('is not %j', source => {
    expect(isTracked(source)).toBe(false);
  });
});
