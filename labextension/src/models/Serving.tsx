import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IServing } from '../api/types';
import { Chip, Copy } from '../detail/pieces';
import { moment, time } from '../shared/format';
import { TextButton } from '../shared/parts';
import { Bdi, Clip, cut } from '../shared/text';
import type { ModelActions } from './actions';

const MOST = 20;

/** Whether what serves answers: in a word, with its colour. */
export function Health({ one, trans }: { one: IServing; trans: TranslationBundle }): ReactElement {
  const mood = one.healthy === true ? 'good' : one.healthy === false ? 'bad' : 'warn';
  const word =
    one.healthy === true
      ? trans.__('answers')
      : one.healthy === false
        ? trans.__('does not answer')
        : trans.__('starting');
  return <Chip text={word} mood={mood} title={one.state} />;
}

/** Where the model is served on this machine. */
export function Serving(props: {
  serving: readonly IServing[];
  actions: ModelActions;
  trans: TranslationBundle;
}): ReactElement | null {
  const { serving, actions, trans } = props;
  return serving.length ? (
    <ul className="nbl-serving" aria-label={trans.__('Where it is served')}>
      {serving.slice(0, MOST).map(one => (
        <li key={one.url}>
          <Health one={one} trans={trans} />
          <b>{one.version ? trans.__('version %1', one.version) : trans.__('no version yet')}</b>
          {one.coming ? (
            <Chip text={trans.__('version %1 is coming', one.coming)} mood="warn" />
          ) : null}
          {one.url ? (
            <span className="nbl-serving-address">
              <code>
                <Clip text={one.url} />
              </code>
              <Copy text={one.url} label={trans.__('Copy the address')} trans={trans} />
            </span>
          ) : null}
          {one.since ? (
            <span className="nbl-models-none" title={moment(one.since)}>
              {trans.__('since %1', time(one.since))}
            </span>
          ) : null}
          {one.requests ? (
            <span className="nbl-models-none">
              {trans._n('%1 request', '%1 requests', one.requests)}
              {one.failures ? trans.__(', %1 failed', one.failures) : ''}
            </span>
          ) : null}
          {one.healthy === false ? <Clip text={one.state} className="nbl-models-none" /> : null}
          {one.digest ? (
            <span className="nbl-models-none" title={cut(one.digest, 100)}>
              {trans.__('digest %1', one.digest.slice(0, 10))}
            </span>
          ) : null}
          <TextButton label={trans.__('Stop…')} onClick={() => void actions.stopServing(one)} />
          {one.text ? (
            <p className="nbl-models-none">
              <Bdi text={one.text} />
            </p>
          ) : null}
        </li>
      ))}
    </ul>
  ) : null;
}
