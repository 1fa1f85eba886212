import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IJudged } from '../api/types';
import { number } from '../shared/format';
import { Bdi, Clip } from '../shared/text';

const MOST = 30;

/** What a gate says: the answer first, then each comparison with its values, then every reason against. */
export function Judgement({
  judged,
  trans
}: {
  judged: IJudged;
  trans: TranslationBundle;
}): ReactElement {
  const { passed, clauses, denials, notes } = judged;
  const figures = Object.entries(judged.figures);
  return (
    <div className="nbl-judgement" data-passed={passed}>
      <p className="nbl-judgement-head">
        <b>{passed ? trans.__('✓ The gate lets it pass') : trans.__('✗ The gate refuses')}</b>
      </p>
      <Demanded judged={judged} trans={trans} />
      {clauses.length ? (
        <ul className="nbl-judgement-clauses">
          {clauses.slice(0, MOST).map((clause, at) => (
            <li key={at} data-holds={clause.holds}>
              <span aria-hidden="true">{clause.holds ? '✓' : '✗'}</span>
              <span className="nbl-detail-unseen">
                {clause.holds ? trans.__('holds:') : trans.__('does not hold:')}
              </span>
              <code>
                <Bdi text={clause.text} />
              </code>
              <span className="nbl-models-none">{clause.values.map(number).join(' · ')}</span>
            </li>
          ))}
        </ul>
      ) : figures.length ? (
        <ul className="nbl-judgement-clauses">
          {figures.slice(0, MOST).map(([name, value]) => (
            <li key={name}>
              <Clip text={name} /> <b>{number(value)}</b>
            </li>
          ))}
        </ul>
      ) : null}
      {denials.length ? (
        <ul className="nbl-judgement-reasons" aria-label={trans.__('Reasons against it')}>
          {denials.slice(0, MOST).map((denial, at) => (
            <li key={at}>
              <Bdi text={denial.text} />
            </li>
          ))}
          {denials.length > MOST ? (
            <li>{trans.__('… and %1 more', denials.length - MOST)}</li>
          ) : null}
        </ul>
      ) : null}
      {notes.slice(0, MOST).map((note, at) => (
        <p key={at} className="nbl-models-none">
          <Bdi text={note} />
        </p>
      ))}
    </div>
  );
}

/** What is demanded beside the condition, by which gates. */
function Demanded({
  judged,
  trans
}: {
  judged: IJudged;
  trans: TranslationBundle;
}): ReactElement | null {
  const { gates, require, min_rows, approvals } = judged;
  const said = [
    gates.length ? trans.__('gate %1', gates.join(', ')) : '',
    require.length ? trans.__('evidence: %1', require.join(', ')) : '',
    min_rows ? trans.__('at least %1 rows', min_rows) : '',
    approvals ? trans._n('%1 approval', '%1 approvals', approvals) : ''
  ].filter(Boolean);
  return said.length ? (
    <p className="nbl-models-none">
      <Bdi text={said.join(' · ')} />
    </p>
  ) : null;
}
