import type { TranslationBundle } from '@jupyterlab/translation';
import { useId, type ReactElement } from 'react';

import { Field } from '../../shared/fields';
import { Clip } from '../../shared/text';
import { ask } from './ask';

export interface IReproduce {
  readonly times: number;
  readonly restore_only: boolean;
  readonly into: string;
}

const MOST_TIMES = 50;

/** How a run is to be reproduced; null when it was cancelled. */
export function askReproduce(name: string, trans: TranslationBundle): Promise<IReproduce | null> {
  return ask<IReproduce>({
    title: trans.__('Reproduce a run'),
    button: trans.__('Reproduce'),
    initial: { times: 1, restore_only: false, into: '' },
    valid: value => Number.isInteger(value.times) && value.times >= 1 && value.times <= MOST_TIMES,
    form: (value, set) => <Form name={name} value={value} set={set} trans={trans} />,
    trans
  });
}

function Form(props: {
  name: string;
  value: IReproduce;
  set: (value: IReproduce) => void;
  trans: TranslationBundle;
}): ReactElement {
  const { value, set, trans } = props;
  const id = useId();
  return (
    <>
      <p className="nbl-detail-subject">
        <Clip text={props.name} />
      </p>
      <ul className="nbl-detail-will">
        <li>{trans.__('Its code and data are restored into a folder of their own.')}</li>
        {value.restore_only ? (
          <li>{trans.__('Nothing is executed.')}</li>
        ) : (
          <li className="nbl-detail-caution">
            {trans.__(
              'Its code is executed there in a fresh kernel, with all that it does: what it sends to other machines is sent again.'
            )}
          </li>
        )}
        <li>{trans.__('Your work tree, branch, index and kernels are not touched.')}</li>
        {value.restore_only ? null : (
          <li>{trans.__('What comes out is recorded as a run of its own, with a verdict.')}</li>
        )}
      </ul>
      <label className="nbl-detail-field nbl-mod-row">
        <input
          type="checkbox"
          checked={value.restore_only}
          onChange={event => {
            set({ ...value, restore_only: event.target.checked });
          }}
        />
        {trans.__('Only restore it')}
      </label>
      <Field label={trans.__('How often to execute it')}>
        <input
          type="number"
          className="jp-mod-styled"
          min={1}
          max={MOST_TIMES}
          required
          disabled={value.restore_only}
          value={Number.isNaN(value.times) ? '' : value.times}
          aria-describedby={`${id}-times`}
          onChange={event => {
            set({ ...value, times: event.target.valueAsNumber });
          }}
        />
        <small id={`${id}-times`}>
          {trans.__('More than once shows which metrics are not deterministic.')}
        </small>
      </Field>
      <Field label={trans.__('Folder')}>
        <input
          type="text"
          className="jp-mod-styled"
          placeholder={trans.__('.nbledger/reproduced/…')}
          value={value.into}
          aria-describedby={`${id}-into`}
          onChange={event => {
            set({ ...value, into: event.target.value });
          }}
        />
        <small id={`${id}-into`}>
          {value.into.trim() || value.restore_only
            ? trans.__('It is kept afterwards.')
            : trans.__('It is removed if the same comes out, and kept if something else does.')}
        </small>
      </Field>
    </>
  );
}
