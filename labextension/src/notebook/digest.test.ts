import { expect, it } from 'vitest';

import { digest } from './digest';

// Read by tests/magics/test_live.py as well: one pair a line.
const VECTORS: readonly (readonly [source: string, digest: string])[] = [
  ['', '00000000'],
  ['x = 1', '475ba176'],
  ['x = 1\n', '475ba176'],
  ['\n\nx = 1  \ny = 2\t\n\n', 'ccace7b8'],
  ['x = 1\r\ny = 2', 'ccace7b8'],
  ['x = 1\ry = 2', 'ccace7b8'],
  ['%%mlrun forest -m accuracy\naccuracy = 0.9', 'ea2344da'],
  ["größe = '日本語 😀'", '634bf651'],
  ['    indented\n\n\n    after', 'b3596a0e'],
  ['a\u2028b \u2028c\xa0', '544f136d']
];

it.each(VECTORS)('the digest of %j', (source, expected) => {
  expect(digest(source)).toBe(expected);
});
