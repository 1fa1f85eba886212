import { describe, expect, it, vi } from 'vitest';

import { Batches, type Prepare } from './batches';

/** A preparation that is waited for until `done` is called, for batches with a cell called `tracked`. */
function held() {
  const doors: (() => void)[] = [];
  const prepare: Prepare<object> = (_, sources) =>
    sources.includes('tracked') ? new Promise(resolve => doors.push(resolve)) : null;
  return { prepare: vi.fn(prepare), done: () => doors.shift()?.() };
}

function recorder(batches: Batches<object>, key: object) {
  const sent: string[] = [];
  const run = (source: string) =>
    batches.run(key, {
      source,
      send: () => {
        sent.push(source);
        return Promise.resolve(true);
      }
    });
  return { sent, run };
}

const settle = () => new Promise(resolve => setTimeout(resolve, 0));

describe('cells asked for together', () => {
  it('are sent together and in order, after one preparation', async () => {
    const { prepare, done } = held();
    const { sent, run } = recorder(new Batches(prepare), {});
    const all = Promise.all(['first', 'tracked', 'last'].map(run));
    await settle();
    expect(sent).toEqual([]);
    done();
    expect(await all).toEqual([true, true, true]);
    expect(sent).toEqual(['first', 'tracked', 'last']);
    expect(prepare).toHaveBeenCalledTimes(1);
  });

  it('wait for no timer when there is nothing to prepare', async () => {
    const { prepare } = held();
    const { sent, run } = recorder(new Batches(prepare), {});
    const all = Promise.all(['first', 'last'].map(run));
    await Promise.resolve();
    expect(sent).toEqual(['first', 'last']);
    await all;
  });
});

describe('a later batch', () => {
  it('does not overtake one that waits', async () => {
    const { prepare, done } = held();
    const { sent, run } = recorder(new Batches(prepare), {});
    const first = run('tracked');
    await settle();
    const second = run('quick');
    await settle();
    expect(sent).toEqual([]);
    done();
    await Promise.all([first, second]);
    expect(sent).toEqual(['tracked', 'quick']);
  });

  it('of another notebook does not wait', async () => {
    const { prepare, done } = held();
    const batches = new Batches(prepare);
    const [one, other] = [recorder(batches, {}), recorder(batches, {})];
    const first = one.run('tracked');
    await other.run('quick');
    expect(other.sent).toEqual(['quick']);
    done();
    await first;
  });
});

describe('the cell comes first', () => {
  it.each([
    ['rejects', () => Promise.reject(new Error('no disk'))],
    [
      'throws',
      () => {
        throw new Error('no panel');
      }
    ]
  ])('when the preparation %s', async (_, prepare) => {
    vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const { sent, run } = recorder(new Batches(prepare), {});
    expect(await run('tracked')).toBe(true);
    expect(sent).toEqual(['tracked']);
  });

  it('and its own failure stays its own', async () => {
    const batches = new Batches<object>(() => null);
    const key = {};
    const bad = batches.run(key, {
      source: '1/0',
      send: () => {
        throw new Error('KernelReplyNotOK');
      }
    });
    const good = batches.run(key, { source: 'x', send: () => Promise.resolve(true) });
    await expect(bad).rejects.toThrow('KernelReplyNotOK');
    expect(await good).toBe(true);
  });
});
