import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import type { IWaiting } from '../api/types';
import { Chip, Lead } from '../detail/pieces';
import { Commands } from '../names';
import { moment, number, time } from '../shared/format';
import { TextButton } from '../shared/parts';
import { Bdi, Clip } from '../shared/text';
import type { ModelActions } from './actions';

const MOST = 20;
const MOST_FIGURES = 12;

/** What waits for somebody's approval, and the buttons for who may give it. */
export function Waiting(props: {
  waiting: readonly IWaiting[];
  actions: ModelActions;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): ReactElement | null {
  const { waiting, trans } = props;
  return waiting.length ? (
    <ul className="nbl-waiting" aria-label={trans.__('What waits for approval')}>
      {waiting.slice(0, MOST).map(one => (
        <li key={`${one.version} ${one.alias}`}>
          <One one={one} {...props} />
        </li>
      ))}
      {waiting.length > MOST ? <li>{trans.__('… and %1 more', waiting.length - MOST)}</li> : null}
    </ul>
  ) : null;
}

function One(props: {
  one: IWaiting;
  actions: ModelActions;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): ReactElement {
  const { one, actions, trans } = props;
  const why = one.mine ? undefined : one.why_not || trans.__('You may not approve this one.');
  return (
    <>
      <div className="nbl-waiting-head">
        <Chip text={trans.__('waits for approval')} mood="warn" />
        <b>
          <Clip text={trans.__('version %1 → @%2', one.version, one.alias)} />
        </b>
        <span className="nbl-models-none">
          {trans.__('%1 of %2 approved', one.approved.length, one.needed)}
        </span>
        <span className="nbl-waiting-buttons">
          <TextButton
            kind="accept"
            label={trans.__('Approve…')}
            disabled={!one.mine}
            title={why}
            onClick={() => void actions.approve(one)}
          />
          <TextButton
            label={trans.__('Refuse…')}
            disabled={!one.mine}
            title={why}
            onClick={() => void actions.refuse(one)}
          />
        </span>
      </div>
      <Asked {...props} />
      {why ? (
        <p className="nbl-models-none">
          <Bdi text={why} />
        </p>
      ) : null}
    </>
  );
}

/** Who asked, on which figures: what an approval is about. */
export function Asked({
  one,
  commands,
  trans
}: {
  one: IWaiting;
  commands: CommandRegistry | null;
  trans: TranslationBundle;
}): ReactElement {
  const run = one.run_id;
  const figures = Object.entries(one.figures);
  return (
    <dl className="nbl-waiting-facts">
      <dt>{trans.__('asked by')}</dt>
      <dd>
        <Bdi text={one.by} /> <span title={moment(one.at)}>{time(one.at)}</span>
        {one.expires ? (
          <span title={moment(one.expires)}> {trans.__('· until %1', time(one.expires))}</span>
        ) : null}
      </dd>
      {run ? (
        <>
          <dt>{trans.__('run')}</dt>
          <dd>
            {commands ? (
              <Lead
                text={one.run_name || run}
                onClick={() => {
                  void commands.execute(Commands.openRun, { run });
                }}
              />
            ) : (
              <Clip text={one.run_name || run} />
            )}
          </dd>
        </>
      ) : null}
      {one.condition ? (
        <>
          <dt>{trans.__('condition')}</dt>
          <dd>
            <code>
              <Bdi text={one.condition} />
            </code>
          </dd>
        </>
      ) : null}
      {figures.length ? (
        <>
          <dt>{trans.__('figures')}</dt>
          <dd className="nbl-decisions-figures">
            {figures.slice(0, MOST_FIGURES).map(([name, value]) => (
              <span key={name}>
                <Clip text={name} /> <b>{number(value)}</b>
              </span>
            ))}
          </dd>
        </>
      ) : null}
      {one.approved.length ? (
        <>
          <dt>{trans.__('approved by')}</dt>
          <dd>
            <Bdi text={one.approved.slice(0, 20).join(', ')} />
          </dd>
        </>
      ) : null}
    </dl>
  );
}
