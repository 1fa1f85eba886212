import { expect, test } from 'vitest';

import { People, personKey, personName } from './people';

test.each([
  ['Ada Lovelace <Ada@Example.org>', 'ada@example.org', 'Ada Lovelace'],
  ['<ada@example.org>', 'ada@example.org', 'ada@example.org'],
  ['Ada <>', 'ada', 'Ada'],
  ['root', 'root', 'root'],
  ['a <b> c', 'a <b> c', 'a <b> c'],
  [null, '', '']
])('%s', (user, key, name) => {
  expect(personKey(user)).toBe(key);
  expect(personName(user)).toBe(name);
});

test('people of the same name are told apart by their addresses', () => {
  const people = new People();
  ['Kim <kim@a.org>', 'Kim <kim@b.org>', 'KIM <kim@a.org>', 'Ada <ada@a.org>', null].forEach(
    user => {
      people.add(user);
    }
  );
  expect(people.size).toBe(4);
  expect(people.keys.map(key => people.label(key))).toEqual([
    'Ada',
    'Kim <kim@a.org>',
    'Kim <kim@b.org>'
  ]);
});
