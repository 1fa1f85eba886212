/** The decisions about a model's aliases as a person reads them. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { IDecided } from '../api/types';

export type Mood = 'plain' | 'good' | 'warn' | 'bad';

const MOODS: Readonly<Record<string, Mood>> = {
  promote: 'good',
  approved: 'good',
  deployed: 'good',
  pending: 'warn',
  rollback: 'warn',
  returned: 'bad',
  refused: 'bad',
  expired: 'bad',
  moved: 'bad'
};

/** Colour is never alone: each mood has its sign. */
export const SIGNS: Readonly<Record<Mood, string>> = {
  good: '✓',
  warn: '…',
  bad: '✗',
  plain: '·'
};

export function moodOf(decided: Pick<IDecided, 'kind'>): Mood {
  return MOODS[decided.kind] ?? 'plain';
}

export function kindWord(kind: string, trans: TranslationBundle): string {
  const words: Readonly<Record<string, string>> = {
    promote: trans.__('promoted'),
    refused: trans.__('refused'),
    pending: trans.__('waits for approval'),
    approved: trans.__('approved'),
    expired: trans.__('expired'),
    moved: trans.__('moved meanwhile'),
    rollback: trans.__('rolled back'),
    deployed: trans.__('deployed'),
    returned: trans.__('returned to what served before')
  };
  return words[kind] ?? kind;
}

/** `version 3 → champion, in place of 2`: as much of it as the decision says. */
export function whatMoved(decided: IDecided, trans: TranslationBundle): string {
  const { version, previous, alias } = decided;
  const what = version ? trans.__('version %1', version) : '';
  const where = alias ? `@${alias}` : '';
  const before = previous && previous !== version ? trans.__('before: version %1', previous) : '';
  return [[what, where].filter(Boolean).join(' → '), before].filter(Boolean).join(' · ');
}

/** The newest first, also where a store gave them in another order. */
export function latestFirst(decisions: readonly IDecided[]): readonly IDecided[] {
  return [...decisions].sort((a, b) => b.n - a.n);
}

/** The numbers that lack between the first and the last: somebody removed a record. */
export function gaps(decisions: readonly IDecided[]): readonly number[] {
  const held = new Set(decisions.map(one => one.n));
  const last = decisions.reduce((most, one) => Math.max(most, one.n), 0);
  const missing: number[] = [];
  for (let n = 1; n < last && missing.length < 20; n += 1) {
    if (!held.has(n)) {
      missing.push(n);
    }
  }
  return missing;
}
