import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Live } from './live';

class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problem = { error: `answered ${status}`, hint: '', code: 3 }
  ) {
    super(problem.error);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a live value', () => {
  it('is fetched once for all who ask before the fetch starts, and again for who asks while it runs', async () => {
    let asked = 0;
    const live = new Live(() => Promise.resolve(++asked));
    await Promise.all([live.refresh(), live.refresh(), live.refresh()]);
    expect(live.value).toBe(2);
    expect(asked).toBe(2);
  });

  it('tells that it loads and that it came', async () => {
    const live = new Live(() => Promise.resolve('here'));
    const seen: [boolean, string | null][] = [];
    live.changed.connect(() => {
      seen.push([live.loading, live.value]);
    });
    await live.refresh();
    expect(seen).toEqual([
      [true, null],
      [false, 'here']
    ]);
  });

  it('stays while a later fetch fails, says why, and tries again ever later', async () => {
    const answers = [() => 'old', ...[502, 502, 502].map(status => () => status), () => 'new'];
    const ask = vi.fn(() => {
      const answer = answers.shift()?.();
      return typeof answer === 'number'
        ? Promise.reject(new Refused(answer))
        : Promise.resolve(answer ?? '');
    });
    const live = new Live(ask);
    await live.refresh();
    await live.refresh();
    expect([live.value, live.problem?.error]).toEqual(['old', 'answered 502']);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ask).toHaveBeenCalledTimes(3);
    await vi.advanceTimersByTimeAsync(1_999);
    expect(ask).toHaveBeenCalledTimes(3);
    await vi.advanceTimersByTimeAsync(4_001);
    expect([live.value, live.problem]).toEqual(['new', null]);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(ask).toHaveBeenCalledTimes(5);
  });

  it.each([400, 404, 409])(
    'is not asked for again by itself after a refusal (%i)',
    async status => {
      const ask = vi.fn(() => Promise.reject<string>(new Refused(status)));
      const live = new Live(ask);
      await live.refresh();
      await vi.advanceTimersByTimeAsync(600_000);
      expect(ask).toHaveBeenCalledTimes(1);
      expect(live.problem?.error).toBe(`answered ${status}`);
    }
  );

  it('asks no more once it is paused', async () => {
    const ask = vi.fn(() => Promise.reject<string>(new Refused(0)));
    const live = new Live(ask);
    await live.refresh();
    live.pause();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(ask).toHaveBeenCalledTimes(1);
  });

  it('drops an answer that was on its way when it started anew', async () => {
    let answer: (value: string) => void = () => undefined;
    const live = new Live(
      () =>
        new Promise<string>(resolve => {
          answer = resolve;
        })
    );
    const asking = live.refresh();
    live.reset();
    answer('of the project before');
    await asking;
    expect([live.value, live.loading]).toEqual([null, false]);
  });
});
