// @vitest-environment jsdom
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, expect, test, vi } from 'vitest';

import type { IModel } from '../api/types';
import { aModel, aVersion, someModels } from './fixtures';
import { keepFocus } from './focus';
import { Model } from './Model';
import type { IModelsView } from './ModelsPage';
import { show } from './shown';
import { failureOf } from './Work';

// JupyterLab's icons come with its web components, which do not load outside of a bundle.
vi.mock('@jupyterlab/ui-components', () => {
  const icon = { react: () => null };
  const names = [
    'caretDown',
    'caretRight',
    'check',
    'circleEmpty',
    'code',
    'copy',
    'error',
    'file'
  ];
  const more = ['inspector', 'refresh', 'run', 'running', 'stop', 'tableRows'];
  return Object.fromEntries([...names, ...more].map(name => [`${name}Icon`, icon]));
});

afterEach(cleanup);
// Roles are looked up slowly, and the machine may be busy.
vi.setConfig({ testTimeout: 60_000 });

const never = () => new Promise<never>(() => undefined);

function aView(): IModelsView {
  const trans = nullTranslator.load('nbledger');
  const ledger = { trans, api: { decisions: never, ancestry: never }, contentsPath: () => null };
  const view = { ledger, commands: new CommandRegistry(), shown: new Map(), read: new Set() };
  return { ...view, wanted: { model: null } } as unknown as IModelsView;
}

function drawn(model: IModel, view: IModelsView, few = true) {
  const overview = { ...someModels({ models: [model] }), waiting: [], serving: [], problems: [] };
  return <Model model={model} overview={overview} few={few} view={view} />;
}

const [first, second] = [aVersion({ aliases: ['champion'] }), aVersion({ version: '2' })];
const BEFORE = aModel({ versions: [first, second], aliases: { champion: '1' } });
const AFTER = aModel({
  versions: [aVersion(), aVersion({ version: '2', aliases: ['champion'] })],
  aliases: { champion: '2' }
});

const pressed = () => document.querySelector('[aria-pressed="true"]')?.textContent;

test('what somebody reads stays when an alias moves, and when the page is drawn anew', () => {
  const view = aView();
  const { rerender, unmount } = render(drawn(BEFORE, view));
  fireEvent.click(screen.getByRole('button', { name: 'Decisions' }));
  expect(pressed()).toBe('Decisions');
  rerender(drawn(AFTER, view));
  expect(pressed()).toBe('Decisions');
  expect(screen.getByRole('button', { name: 'Version 1' })).toBeTruthy();
  unmount();
  render(drawn(AFTER, view));
  expect(pressed()).toBe('Decisions');
  expect(screen.getByRole('button', { name: 'Version 1' })).toBeTruthy();
});

test('until somebody chose, the foremost version is shown', () => {
  const view = aView();
  const { rerender } = render(drawn(BEFORE, view));
  expect(pressed()).toBe('Version 1');
  rerender(drawn(AFTER, view));
  expect(pressed()).toBe('Version 2');
});

test('of many models one is opened by who asks for it, and closed by hand', () => {
  const view = aView();
  const { rerender } = render(drawn(BEFORE, view, false));
  expect(screen.queryByRole('toolbar')).toBeNull();
  show(view.shown, 'wine', { open: true, version: '2' });
  rerender(drawn(BEFORE, view, false));
  expect(pressed()).toBe('Version 2');
  fireEvent.click(screen.getByRole('button', { expanded: true }));
  rerender(drawn(AFTER, view, false));
  expect(screen.queryByRole('toolbar')).toBeNull();
});

test('work that failed says what and why; one that ended without serving does, too', () => {
  const job = {
    state: 'failed',
    title: 'Look for drift in a.csv',
    text: '',
    result: null
  } as const;
  const problem = { error: 'no Evidently', hint: 'pip install nbledger[drift]', code: 5 };
  expect(failureOf({ ...job, problem })).toEqual({
    ...problem,
    error: 'Look for drift in a.csv: no Evidently'
  });
  const deployed = { ...job, state: 'done', text: 'wine is not served', problem: null } as const;
  expect(failureOf({ ...deployed, result: { ok: false } })?.error).toBe('wine is not served');
  expect(failureOf({ ...deployed, result: { ok: true } })).toBeNull();
  expect(failureOf({ ...deployed, result: { verdict: 'drift' } })).toBeNull();
});

test('the page takes the focus of what goes away, and no other', async () => {
  const page = document.body.appendChild(document.createElement('div'));
  page.tabIndex = 0;
  keepFocus(page);
  const [one, other] = [document.createElement('button'), document.createElement('button')];
  page.append(one, other);
  one.focus();
  other.remove();
  await Promise.resolve();
  expect(document.activeElement).toBe(one);
  one.remove();
  await vi.waitFor(() => {
    expect(document.activeElement).toBe(page);
  });
  page.remove();
});
