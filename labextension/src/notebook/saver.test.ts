import { describe, expect, it, vi } from 'vitest';

import { Saver, type ISavable } from './saver';

function setup(context: Partial<ISavable> = {}, patience = 20) {
  const save = vi.fn(context.save ?? (() => Promise.resolve()));
  const warn = vi.fn<(message: string) => void>();
  const document: ISavable = { model: { dirty: true }, contentsModel: null, ...context, save };
  const saver = new Saver<string>({ find: () => document, warn, patience });
  return { saver, save, warn };
}

describe('before a tracked cell', () => {
  it('a notebook with unsaved changes is saved', async () => {
    const { saver, save, warn } = setup();
    await saver.prepare('nb', ['x = 1', '%%mlrun']);
    expect(save).toHaveBeenCalledTimes(1);
    expect(warn).not.toHaveBeenCalled();
  });

  it.each<[string, Partial<ISavable>]>([
    ['a clean notebook', { model: { dirty: false } }],
    ['a read-only notebook', { contentsModel: { writable: false } }]
  ])('%s is left alone', (_, context) => {
    const { saver, save } = setup(context);
    expect(saver.prepare('nb', ['%%mlrun'])).toBeNull();
    expect(save).not.toHaveBeenCalled();
  });

  it('nothing is saved when the setting is off, the cell is plain or the notebook unknown', () => {
    const { saver, save } = setup();
    expect(saver.prepare('nb', ['x = 1'])).toBeNull();
    saver.enabled = false;
    expect(saver.prepare('nb', ['%%mlrun'])).toBeNull();
    expect(save).not.toHaveBeenCalled();
    const blind = new Saver<string>({ find: () => undefined, warn: () => undefined });
    expect(blind.prepare('nb', ['%%mlrun'])).toBeNull();
  });
});

describe('a save that fails', () => {
  it('is said in one line and holds nothing up', async () => {
    const { saver, warn } = setup({ save: () => Promise.reject(new Error('disk full')) });
    await saver.prepare('nb', ['%%mlrun']);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn.mock.calls[0]?.[0]).toContain('(disk full)');
    expect(warn.mock.calls[0]?.[0]).not.toContain('\n');
  });

  it('by never answering costs the patience and no more', async () => {
    const { saver, warn } = setup({ save: () => new Promise(() => undefined) }, 5);
    await saver.prepare('nb', ['%%mlrun']);
    expect(warn.mock.calls[0]?.[0]).toContain('not saved within 0.005 s');
  });
});
