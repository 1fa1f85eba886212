import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import { cut } from '../shared/text';
import type { RunsModel } from './model/model';
import { MINE } from './model/settings';

/** This notebook's runs or all; and, where several people recorded any, whose. */
export function ScopeSwitch({
  model,
  trans
}: {
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}): ReactElement {
  const { scope } = model.settings;
  return (
    <>
      <select
        className="nbl-select"
        aria-label={trans.__('Which runs')}
        value={scope.thisNotebook ? 'notebook' : 'all'}
        onChange={event => {
          model.scope({ ...scope, thisNotebook: event.target.value === 'notebook' });
        }}
      >
        <option value="all">{trans.__('Everything')}</option>
        <option value="notebook">{trans.__('This notebook')}</option>
      </select>
      <WhoseSwitch model={model} trans={trans} />
    </>
  );
}

/** Everyone's runs, one's own, or those of somebody else; nothing where one person made all of them. */
export function WhoseSwitch({
  model,
  trans
}: {
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}): ReactElement | null {
  const { scope } = model.settings;
  const { people } = model.catalogue;
  if (people.size < 2 && scope.user === null) {
    return null;
  }
  const others = people.keys.filter(key => !model.mine.includes(key));
  const { user } = scope;
  const gone = user !== null && user !== MINE && !others.includes(user) ? [user] : [];
  return (
    <select
      className="nbl-select nbl-whose"
      aria-label={trans.__('Whose runs')}
      value={user ?? ''}
      onChange={event => {
        model.scope({ ...scope, user: event.target.value || null });
      }}
    >
      <option value="">{trans.__("Everyone's runs")}</option>
      <option value={MINE}>{trans.__('My runs')}</option>
      {[...others, ...gone].map(key => (
        <option key={key} value={key}>
          {cut(people.label(key), 40)}
        </option>
      ))}
    </select>
  );
}

/** Everyone's runs or one's own, in two words; nothing where one person made all of them. */
export function MineSwitch({
  model,
  trans
}: {
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}): ReactElement | null {
  const { scope } = model.settings;
  const { user } = scope;
  if (model.catalogue.people.size < 2 && user === null) {
    return null;
  }
  const words: readonly (readonly [string | null, string])[] = [
    [null, trans.__('Everyone')],
    [MINE, trans.__('Mine')]
  ];
  return (
    <div className="nbl-switch nbl-runs-whose" role="group" aria-label={trans.__('Whose runs')}>
      {words.map(([value, word]) => (
        <button
          key={word}
          type="button"
          aria-pressed={user === value}
          onClick={() => {
            model.scope({ ...scope, user: value });
          }}
        >
          {word}
        </button>
      ))}
    </div>
  );
}
