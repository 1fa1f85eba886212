// @vitest-environment jsdom
import { Signal } from '@lumino/signaling';
import { expect, it, vi } from 'vitest';

import type { IChanged } from '../api/types';
import type { ILedger } from '../tokens';
import { Kept } from './kept';

function made() {
  const told = new Signal<unknown, IChanged>({});
  const projectChanged = new Signal<unknown, void>({});
  const ask = vi.fn(() => Promise.resolve(ask.mock.calls.length));
  const ledger = { told, projectChanged } as unknown as ILedger;
  const tell = (...parts: IChanged['parts']) => {
    told.emit({ project: 'p', parts, version: 1 });
  };
  return { kept: new Kept<number>(ledger, ['models'], ask), ask, tell, projectChanged };
}

it('is fetched when somebody looks, and again for its own parts alone', async () => {
  const { kept, ask, tell } = made();
  tell('models');
  expect(ask).not.toHaveBeenCalled();
  kept.look();
  await vi.waitFor(() => {
    expect(kept.value).toBe(1);
  });
  tell('state', 'runs');
  expect(ask).toHaveBeenCalledTimes(1);
  tell('models');
  await vi.waitFor(() => {
    expect(kept.value).toBe(2);
  });
});

it('that nobody looks at waits until somebody does, and two lookers ask once', async () => {
  const { kept, ask, tell } = made();
  const [one, other] = [kept.look(), kept.look()];
  await vi.waitFor(() => {
    expect(kept.value).toBe(1);
  });
  one.dispose();
  other.dispose();
  tell('models');
  expect(ask).toHaveBeenCalledTimes(1);
  kept.look();
  await vi.waitFor(() => {
    expect(kept.value).toBe(2);
  });
});

it('of another project is dropped at once', async () => {
  const { kept, projectChanged } = made();
  kept.look();
  await vi.waitFor(() => {
    expect(kept.value).toBe(1);
  });
  projectChanged.emit();
  expect(kept.value).toBeNull();
  await vi.waitFor(() => {
    expect(kept.value).toBe(2);
  });
});
