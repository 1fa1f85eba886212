import { describe, expect, it } from 'vitest';

import { beginning } from './kernelWords';

describe('what the kernel is told first', () => {
  it('holds the words as literals, whatever they are', () => {
    const code = beginning({ name: `a"b'\\n\u2028 é`, last: 'c1', allowed: ['c2', 'c3'] });
    const call = code.split('\n').pop() ?? '';
    expect(call).toContain('"a\\"b\'\\\\n\u2028 é", "c1", ["c2","c3"]');
    expect(code.split('\n')).toHaveLength(3);
  });
});
