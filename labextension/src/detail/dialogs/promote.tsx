import type { TranslationBundle } from '@jupyterlab/translation';
import { useId, type ReactElement } from 'react';

import type { IDetail, IModel } from '../../api/types';
import { Bdi, Clip } from '../../shared/text';
import { ask } from './ask';

export interface IPromote {
  readonly logged: string;
  readonly model: string;
  readonly alias: string;
}

const USUAL = ['champion', 'challenger'];

/** What to register where; null when it was cancelled. */
export function askPromote(
  detail: IDetail,
  models: readonly IModel[],
  trans: TranslationBundle
): Promise<IPromote | null> {
  const registered = detail.models[0]?.name;
  return ask<IPromote>({
    title: trans.__('Promote a model'),
    button: trans.__('Promote'),
    initial: { logged: detail.logged_models[0] ?? '', model: registered ?? '', alias: 'champion' },
    valid: value => Boolean(value.logged && nameOk(value.model) && aliasOk(value.alias)),
    form: (value, set) => (
      <Form detail={detail} models={models} value={value} set={set} trans={trans} />
    ),
    trans
  });
}

/** What MLflow takes as a model's name. */
export function nameOk(name: string): boolean {
  return name.trim() !== '' && name.length <= 250 && !/[/:]/.test(name);
}

/** What MLflow takes as an alias; none is right too. */
export function aliasOk(alias: string): boolean {
  const wanted = alias.trim();
  return (
    wanted === '' ||
    (/^[\w-]{1,250}$/.test(wanted) && wanted !== 'latest' && !/^v\d+$/i.test(wanted))
  );
}

function Form(props: {
  detail: IDetail;
  models: readonly IModel[];
  value: IPromote;
  set: (value: IPromote) => void;
  trans: TranslationBundle;
}): ReactElement {
  const { detail, models, value, set, trans } = props;
  const id = useId();
  const known = models.find(model => model.name === value.model.trim());
  const aliases = [...new Set([...USUAL, ...Object.keys(known?.aliases ?? {})])];
  return (
    <>
      <p className="nbl-detail-subject">
        <Clip text={detail.run.name || detail.run.run_id} />
      </p>
      <label className="nbl-detail-field">
        <span>{trans.__('Model of the run')}</span>
        <select
          className="jp-mod-styled"
          value={value.logged}
          onChange={event => {
            set({ ...value, logged: event.target.value });
          }}
        >
          {detail.logged_models.map(name => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label className="nbl-detail-field">
        <span>{trans.__('Registered name')}</span>
        <input
          type="text"
          className="jp-mod-styled"
          list={`${id}-models`}
          required
          value={value.model}
          onChange={event => {
            set({ ...value, model: event.target.value });
          }}
        />
        <datalist id={`${id}-models`}>
          {models.slice(0, 500).map(model => (
            <option key={model.name} value={model.name} />
          ))}
        </datalist>
        {value.model && !nameOk(value.model) ? (
          <small className="nbl-detail-wrong">
            {trans.__('A name takes no slash and no colon.')}
          </small>
        ) : null}
      </label>
      <label className="nbl-detail-field">
        <span>{trans.__('Alias (none: leave it empty)')}</span>
        <input
          type="text"
          className="jp-mod-styled"
          list={`${id}-aliases`}
          value={value.alias}
          onChange={event => {
            set({ ...value, alias: event.target.value });
          }}
        />
        <datalist id={`${id}-aliases`}>
          {aliases.map(alias => (
            <option key={alias} value={alias} />
          ))}
        </datalist>
        {aliasOk(value.alias) ? null : (
          <small className="nbl-detail-wrong">
            {trans.__('An alias is of letters, digits, _ and -; “latest” and “v1” are taken.')}
          </small>
        )}
      </label>
      <Will value={value} known={known} trans={trans} />
    </>
  );
}

/** What exactly will happen. */
function Will(props: {
  value: IPromote;
  known: IModel | undefined;
  trans: TranslationBundle;
}): ReactElement | null {
  const { value, known, trans } = props;
  const name = value.model.trim();
  const alias = value.alias.trim();
  if (!nameOk(value.model) || !aliasOk(value.alias)) {
    return null;
  }
  const now = known?.aliases[alias];
  return (
    <ul className="nbl-detail-will" aria-live="polite">
      <li>
        {known
          ? trans._n(
              'A new version is registered; there is %1 so far.',
              'A new version is registered; there are %1 so far.',
              known.versions.length
            )
          : trans.__('A new registered model is made, with this as its first version:')}{' '}
        <Bdi text={name} />
      </li>
      {alias ? (
        <li className={now === undefined ? '' : 'nbl-detail-caution'}>
          {now === undefined
            ? trans.__('The alias points at nothing so far, and then at the new version:')
            : trans.__(
                'The alias points at version %1 now, and then at the new version:',
                now
              )}{' '}
          <Bdi text={`@${alias}`} />
        </li>
      ) : (
        <li>{trans.__('No alias is moved.')}</li>
      )}
    </ul>
  );
}
