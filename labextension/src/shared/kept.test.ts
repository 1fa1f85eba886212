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
  const ledger = { told, projectChanged, path: 'here' };
  const tell = (...parts: IChanged['parts']) => {
    told.emit({ project: 'p', parts, version: 1 });
  };
  const kept = new Kept<number>(ledger as unknown as ILedger, ['models'], ask);
  return { kept, ask, tell, projectChanged, ledger };
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
  const { kept, projectChanged, ledger } = made();
  kept.look();
  await vi.waitFor(() => {
    expect(kept.value).toBe(1);
  });
  ledger.path = 'elsewhere';
  projectChanged.emit();
  expect(kept.value).toBeNull();
  await vi.waitFor(() => {
    expect(kept.value).toBe(2);
  });
});

it('of the same place stays on screen while it is asked again, as when the first state arrives', async () => {
  const { kept, projectChanged } = made();
  kept.look();
  await vi.waitFor(() => {
    expect(kept.value).toBe(1);
  });
  projectChanged.emit();
  expect(kept.value).toBe(1);
  await vi.waitFor(() => {
    expect(kept.value).toBe(2);
  });
});
