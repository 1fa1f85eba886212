import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { useState, type ReactElement } from 'react';

import type { Api } from '../api/api';
import type { IDecided } from '../api/types';
import { Chip, Lead, Said } from '../detail/pieces';
import { Commands } from '../names';
import { moment, number, time } from '../shared/format';
import { Busy, Problem, TextButton } from '../shared/parts';
import { Bdi, Clip } from '../shared/text';
import { gaps, kindWord, latestFirst, moodOf, SIGNS, whatMoved } from './record';
import { useFetched } from './fetched';

const FIRST = 8;
const MORE = 50;
const MOST_FIGURES = 12;

/** The record of a model as a timeline, the newest first. */
export function Decisions(props: {
  model: string;
  api: Pick<Api, 'decisions'>;
  /** Changes whenever the models were fetched anew. */
  again: unknown;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): ReactElement {
  const { model, api, trans } = props;
  const [shown, setShown] = useState(FIRST);
  const { value, problem } = useFetched(model, () => api.decisions(model), props.again);
  if (value === null) {
    return problem ? (
      <Problem problem={problem} trans={trans} />
    ) : (
      <Busy text={trans.__('Reading what was decided…')} />
    );
  }
  const all = latestFirst(value.decisions);
  const missing = gaps(all);
  if (!all.length && !problem) {
    return <Said>{trans.__('Nothing was decided about this model through nbledger yet.')}</Said>;
  }
  return (
    <>
      {problem ? <Problem problem={problem} trans={trans} /> : null}
      {missing.length ? (
        <p className="nbl-detail-caution">
          {trans.__('The record is not whole: missing are the numbers %1.', missing.join(', '))}
        </p>
      ) : null}
      <ol className="nbl-decisions" aria-label={trans.__('Decisions about %1', model)}>
        {all.slice(0, shown).map(one => (
          <Decided key={one.n} decided={one} commands={props.commands} trans={trans} />
        ))}
      </ol>
      {all.length > shown ? (
        <TextButton
          kind="minimal"
          label={trans.__('Show more (%1 of %2 shown)', shown, all.length)}
          onClick={() => {
            setShown(shown + MORE);
          }}
        />
      ) : null}
    </>
  );
}

function Decided(props: {
  decided: IDecided;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): ReactElement {
  const { decided, trans } = props;
  const mood = moodOf(decided);
  const figures = Object.entries(decided.figures);
  const run = decided.run_id;
  return (
    <li data-mood={mood}>
      <span className="nbl-decisions-sign" aria-hidden="true">
        {SIGNS[mood]}
      </span>
      <div className="nbl-decisions-words">
        <div className="nbl-decisions-line">
          <Chip text={kindWord(decided.kind, trans)} mood={mood} />
          <Clip text={whatMoved(decided, trans)} />
          <span className="nbl-models-none" title={moment(decided.at)}>
            {time(decided.at)}
          </span>
          {decided.by ? <Clip text={decided.by} className="nbl-models-none" /> : null}
          <span className="nbl-models-none">{`#${decided.n}`}</span>
          {run ? (
            <Lead
              text={trans.__('run %1', run.slice(0, 8))}
              title={run}
              onClick={() => {
                void props.commands.execute(Commands.openRun, { run });
              }}
            />
          ) : null}
        </div>
        {decided.text ? (
          <p>
            <Bdi text={decided.text} />
          </p>
        ) : null}
        {decided.condition ? (
          <p className="nbl-models-none">
            <code>
              <Bdi text={decided.condition} />
            </code>
          </p>
        ) : null}
        {figures.length ? (
          <p className="nbl-decisions-figures">
            {figures.slice(0, MOST_FIGURES).map(([name, value]) => (
              <span key={name}>
                <Clip text={name} /> <b>{number(value)}</b>
              </span>
            ))}
            {figures.length > MOST_FIGURES ? (
              <span>{trans.__('… and %1 more', figures.length - MOST_FIGURES)}</span>
            ) : null}
          </p>
        ) : null}
        {decided.reasons.slice(0, 20).map((reason, at) => (
          <p key={at} className="nbl-decisions-reason">
            <Bdi text={reason} />
          </p>
        ))}
      </div>
    </li>
  );
}
