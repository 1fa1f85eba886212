import type { TranslationBundle } from '@jupyterlab/translation';
import { useEffect, useId, useState, type ReactElement } from 'react';

import type { Api } from '../../api/api';
import type { IDetail, IModel, IPreview, IProblem } from '../../api/types';
import { problemOf } from '../../shared/live';
import { Problem } from '../../shared/parts';
import { Bdi, Clip } from '../../shared/text';
import { aliasOk, nameOk } from '../names';
import { ask } from './ask';

export interface IPromote {
  readonly logged: string;
  readonly model: string;
  readonly alias: string;
}

/** Typing pauses for so many milliseconds before it is asked what would happen. */
const PAUSE = 250;
const USUAL = ['champion', 'challenger'];

/** What to register where; null when it was cancelled. */
export function askPromote(
  detail: IDetail,
  models: readonly IModel[],
  api: Pick<Api, 'preview'>,
  trans: TranslationBundle
): Promise<IPromote | null> {
  const registered = detail.models[0]?.name;
  return ask<IPromote>({
    title: trans.__('Promote a model'),
    button: trans.__('Promote'),
    initial: { logged: detail.logged_models[0] ?? '', model: registered ?? '', alias: 'champion' },
    valid: value => Boolean(value.logged && nameOk(value.model) && aliasOk(value.alias)),
    form: (value, set) => (
      <Form detail={detail} models={models} api={api} value={value} set={set} trans={trans} />
    ),
    trans
  });
}

function Form(props: {
  detail: IDetail;
  models: readonly IModel[];
  api: Pick<Api, 'preview'>;
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
      {nameOk(value.model) && aliasOk(value.alias) ? (
        <Will api={props.api} run={detail.run.run_id} value={value} trans={trans} />
      ) : null}
    </>
  );
}

/** What exactly will happen, said by the server. */
function Will(props: {
  api: Pick<Api, 'preview'>;
  run: string;
  value: IPromote;
  trans: TranslationBundle;
}): ReactElement {
  const { api, run, value, trans } = props;
  const [preview, setPreview] = useState<IPreview | null>(null);
  const [problem, setProblem] = useState<IProblem | null>(null);
  const { logged, model, alias } = value;
  useEffect(() => {
    let wanted = true;
    const timer = setTimeout(() => {
      const words = {
        run,
        logged,
        model: model.trim(),
        ...(alias.trim() ? { alias: alias.trim() } : {})
      };
      api.preview('promote', words).then(
        found => {
          if (wanted) {
            setPreview(found);
            setProblem(found.refused);
          }
        },
        (reason: unknown) => {
          if (wanted) {
            setProblem(problemOf(reason));
          }
        }
      );
    }, PAUSE);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [api, run, logged, model, alias]);
  return (
    <div aria-live="polite">
      {problem ? <Problem problem={problem} trans={trans} /> : null}
      {preview && !problem ? (
        <ul className="nbl-detail-will">
          {preview.lines.map((line, at) => (
            <li key={at}>
              <Bdi text={line} />
            </li>
          ))}
          {preview.overwrites.map((line, at) => (
            <li key={`over ${at}`} className="nbl-detail-caution">
              <Bdi text={line} />
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}
