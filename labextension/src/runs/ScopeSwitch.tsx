import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import { cut } from '../shared/text';
import type { RunsModel } from './model/model';

/** This notebook's runs or all; and, where several people recorded any, whose. */
export function ScopeSwitch({
  model,
  trans
}: {
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}): ReactElement {
  const { scope } = model.settings;
  const users = [...model.catalogue.users].filter(Boolean).sort();
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
      {(users.length > 1 || scope.user !== null) && (
        <select
          className="nbl-select"
          aria-label={trans.__('Whose runs')}
          value={scope.user ?? ''}
          onChange={event => {
            model.scope({ ...scope, user: event.target.value || null });
          }}
        >
          <option value="">{trans.__("Everyone's")}</option>
          {inOrder(users, model.me).map(user => (
            <option key={user} value={user}>
              {user === model.me ? trans.__('Mine (%1)', cut(user, 40)) : cut(user, 40)}
            </option>
          ))}
        </select>
      )}
    </>
  );
}

function inOrder(users: readonly string[], me: string | null): readonly string[] {
  return me !== null && users.includes(me) ? [me, ...users.filter(user => user !== me)] : users;
}
