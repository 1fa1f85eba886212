// @vitest-environment jsdom
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { act, cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { IDecisions, IJudged } from '../api/types';
import type { ModelActions } from './actions';
import { Decisions } from './Decisions';
import { driftOf, newestDrift } from './Drift';
import { aDecision, aModel, aServing, aWaiting, someModels } from './fixtures';
import { Judgement } from './Judgement';
import { of, overview } from './overview';
import {
  approvalsFor,
  complete,
  gatedWords,
  isGated,
  keyOf,
  NO_GATE,
  OWN,
  plainWords,
  type IPromotion
} from './promotion';
import { gaps, latestFirst, moodOf, whatMoved } from './record';
import { Serving } from './Serving';
import { Waiting } from './Waiting';

// JupyterLab's icons come with its web components, which do not load outside of a bundle.
vi.mock('@jupyterlab/ui-components', () => {
  const icon = { react: () => null };
  const names = ['check', 'circleEmpty', 'copy', 'error', 'running', 'stop'];
  return Object.fromEntries(names.map(name => [`${name}Icon`, icon]));
});

const trans = nullTranslator.load('nbledger');
const HOSTILE = '<img src=x onerror=alert(1)>\u202e';
const commands = new CommandRegistry();
const GATES = someModels({
  gates: [
    {
      name: 'release',
      condition: 'accuracy > 0.9',
      first: null,
      require: ['verified'],
      min_rows: 0,
      approvals: 2,
      expires_days: 7
    }
  ],
  demands: [{ model: 'wine', alias: 'champion', gate: 'release' }]
});

// Roles are looked up slowly, and the machine may be busy.
vi.setConfig({ testTimeout: 60_000 });

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
  cleanup();
});

async function passes(ms = 500): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(ms));
}

const promotion = (changes: Partial<IPromotion> = {}): IPromotion => ({
  run: 'r1',
  logged: 'clf',
  model: 'wine',
  alias: 'champion',
  gate: NO_GATE,
  condition: '',
  first: '',
  approvals: 0,
  agreed: null,
  ...changes
});

test('a gate that the settings demand cannot be left out, and asks for its approvals', () => {
  expect(isGated(promotion(), GATES)).toBe(true);
  expect(gatedWords(promotion(), GATES)).toEqual({
    run: 'r1',
    model: 'wine',
    alias: 'champion',
    logged: 'clf',
    gate: 'release',
    approve_by: 2
  });
  expect(approvalsFor(promotion({ approvals: 3 }), GATES)).toBe(3);
  expect(approvalsFor(promotion({ gate: OWN, condition: 'a > 1' }), GATES)).toBe(2);
});

test('without a gate nothing but a preview is asked; another alias is not demanded of', () => {
  const plain = promotion({ alias: 'challenger' });
  expect(isGated(plain, GATES)).toBe(false);
  expect(plainWords({ ...plain, alias: ' ' })).toEqual({ run: 'r1', logged: 'clf', model: 'wine' });
  const own = promotion({ alias: 'challenger', gate: OWN, condition: ' a > 1 ', first: ' ' });
  expect(gatedWords(own, GATES)).toMatchObject({ condition: 'a > 1' });
  expect(gatedWords(own, GATES)).not.toHaveProperty('first');
});

test.each([
  [{ run: ' ' }, false],
  [{ model: 'a/b' }, false],
  [{ alias: 'latest' }, false],
  [{ alias: '', gate: 'release' }, false],
  [{ gate: OWN, condition: ' ' }, false],
  [{ approvals: NaN }, false],
  [{ approvals: 1.5 }, false],
  [{ approvals: 21 }, false],
  [{}, true]
])('what can be asked: %j is %s', (changes, asked) => {
  expect(complete(promotion(changes), GATES)).toBe(asked);
});

test('an answer belongs to the words it was asked with', () => {
  const known = someModels();
  const one = promotion({ gate: OWN, condition: 'a > 1' });
  expect(keyOf(one, known)).toBe(keyOf({ ...one, agreed: 'x' }, known));
  expect(keyOf(one, known)).not.toBe(keyOf({ ...one, condition: 'a > 2' }, known));
});

test('the record stands in order, the newest first; what was taken out of it is noticed', () => {
  const record = [3, 1, 6].map(n => aDecision({ n }));
  expect(latestFirst(record).map(one => one.n)).toEqual([6, 3, 1]);
  expect(gaps(record)).toEqual([2, 4, 5]);
  expect(gaps([])).toEqual([]);
  expect(moodOf(aDecision({ kind: 'refused' }))).toBe('bad');
  expect(moodOf(aDecision({ kind: 'something new' }))).toBe('plain');
  expect(whatMoved(aDecision(), trans)).toBe('version 2 → @champion · before: version 1');
  expect(whatMoved(aDecision({ version: null, previous: null }), trans)).toBe('@champion');
});

function decisions(answer: () => Promise<IDecisions>) {
  return (
    <Decisions
      model="wine"
      api={{ decisions: answer }}
      again={0}
      commands={commands}
      trans={trans}
    />
  );
}

test('the timeline says that it reads, that there is nothing, what failed, and what was decided', async () => {
  const { unmount } = render(
    decisions(() => Promise.resolve({ model: 'wine', decisions: [], aliases: {} }))
  );
  expect(screen.getByText('Reading what was decided…')).toBeTruthy();
  await passes();
  expect(screen.getByText(/Nothing was decided/)).toBeTruthy();
  unmount();

  const failing = render(decisions(() => Promise.reject(new Error('the store is away'))));
  await passes();
  expect(failing.getByRole('alert').textContent).toContain('the store is away');
  failing.unmount();

  const many = Array.from({ length: 200 }, (_, at) => aDecision({ n: at + 1 }));
  const last = aDecision({
    n: 201,
    kind: 'refused',
    by: HOSTILE,
    reasons: [HOSTILE],
    text: HOSTILE
  });
  render(
    decisions(() => Promise.resolve({ model: 'wine', decisions: [...many, last], aliases: {} }))
  );
  await passes();
  const listed = screen.getByRole('list', { name: 'Decisions about wine' });
  expect(listed.children).toHaveLength(8);
  expect(listed.children[0]?.textContent).toContain('<img src=x onerror=alert(1)>');
  expect(listed.querySelector('img')).toBeNull();
  expect(listed.textContent).not.toContain('\u202e');
  fireEvent.click(screen.getByRole('button', { name: 'Show more (8 of 201 shown)' }));
  expect(listed.children).toHaveLength(58);
});

test('who may not approve sees why, and cannot press', () => {
  const approve = vi.fn();
  const actions = { approve } as unknown as ModelActions;
  const own = aWaiting({ version: '3', mine: false, why_not: 'you asked for it yourself' });
  const { container } = render(
    <Waiting waiting={[aWaiting(), own]} actions={actions} commands={commands} trans={trans} />
  );
  const buttons = screen.getAllByRole<HTMLButtonElement>('button', { name: 'Approve…' });
  expect(buttons.map(button => button.disabled)).toEqual([false, true]);
  expect(container.textContent).toContain('you asked for it yourself');
  buttons.forEach(button => {
    fireEvent.click(button);
  });
  expect(approve).toHaveBeenCalledTimes(1);
  expect(container.textContent).toContain('champion.accuracy');
});

test('what serves says its version, its address and whether it answers', () => {
  render(
    <Serving
      serving={[aServing(), aServing({ port: 5002, url: HOSTILE, healthy: false })]}
      actions={{} as ModelActions}
      trans={trans}
    />
  );
  const [good, bad] = screen.getAllByRole('listitem');
  expect(good?.textContent).toContain('answers');
  expect(good?.textContent).toContain('http://127.0.0.1:5001');
  expect(bad?.textContent).toContain('does not answer');
  expect(bad?.querySelector('img')).toBeNull();
});

test('a judgement says yes or no in words, each comparison, and every reason', () => {
  const judged = {
    passed: false,
    clauses: [
      { text: 'accuracy > 0.9', values: [0.8, 0.9], holds: false },
      { text: 'latency_ms < 50', values: ['nan', 50], holds: false }
    ],
    denials: [{ kind: 'dirty', text: HOSTILE }],
    figures: {},
    gates: ['release'],
    require: ['verified'],
    min_rows: 0,
    approvals: 1,
    notes: []
  } as unknown as IJudged;
  const { container } = render(<Judgement judged={judged} trans={trans} />);
  expect(container.textContent).toContain('The gate refuses');
  expect(container.textContent).toContain('0.8 · 0.9');
  expect(container.textContent).toContain('NaN · 50');
  expect(container.querySelector('img')).toBeNull();
});

test('models are shown although what goes on with them cannot be asked', async () => {
  const api = {
    models: () => Promise.resolve(someModels({ models: [aModel()] })),
    production: () => Promise.reject(new Error('away'))
  };
  const found = await overview(api);
  expect(found.models).toHaveLength(1);
  expect(found.problems.map(one => one.error)).toEqual(['away']);
  const going = { ...found, waiting: [aWaiting(), aWaiting({ model: 'other' })] };
  expect(of(going, 'wine').waiting).toHaveLength(1);
});

test('the newest verdict of drift is the one that is shown', () => {
  const version = (number: string, at: string, verdict: string) => ({
    ...({} as ReturnType<typeof aModel>['versions'][number]),
    version: number,
    tags: { 'nbledger.drift.verdict': verdict, 'nbledger.drift.at': at }
  });
  const versions = [version('1', '2026-01-02', 'drift'), version('2', '2026-01-01', 'no drift')];
  expect(newestDrift(aModel({ versions }))).toMatchObject({ version: '1', verdict: 'drift' });
  expect(driftOf({ version: '3', tags: {} })).toBeNull();
  expect(newestDrift(aModel({ versions }))?.reference).toBeNull();
  const named = { 'nbledger.drift.how': 'held against', 'nbledger.drift.reference': 'usual.csv' };
  const tags = { ...version('4', '2026-01-03', 'no drift').tags, ...named };
  expect(driftOf({ version: '4', tags })?.reference).toBe('usual.csv');
});
