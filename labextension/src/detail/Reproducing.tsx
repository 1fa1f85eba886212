import { closeIcon } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import { Commands } from '../names';
import { IconButton, Problem, Progress, TextButton } from '../shared/parts';
import { Bdi, Clip } from '../shared/text';
import type { IHeadView } from './Head';
import { Copy, VerdictChip } from './pieces';
import { conclusion, type IConclusion } from './reproductions';

const MOST = 20;

/** The reproduction that goes on, and what it concluded. */
export function Reproducing(view: IHeadView): ReactElement | null {
  const { detail, trans, reproductions } = view;
  const run = detail.run.run_id;
  const job = reproductions.of(run);
  if (!job) {
    return null;
  }
  if (job.state === 'running') {
    return (
      <div className="nbl-detail-strip" role="status">
        <Progress done={job.done} total={job.total} label={trans.__('Reproducing the run')} />
        <Clip text={job.text || trans.__('Reproducing…')} />
        <TextButton label={trans.__('Stop')} onClick={() => void reproductions.stop(run)} />
      </div>
    );
  }
  const dismiss = (
    <IconButton
      icon={closeIcon}
      label={trans.__('Hide')}
      onClick={() => {
        reproductions.dismiss(run);
      }}
    />
  );
  if (job.state === 'stopped') {
    return (
      <div className="nbl-detail-strip" role="status">
        <span>{trans.__('The reproduction was stopped.')}</span>
        {dismiss}
      </div>
    );
  }
  if (job.problem) {
    return (
      <div className="nbl-detail-strip" data-mood="bad">
        <Problem problem={job.problem} trans={trans} />
        {dismiss}
      </div>
    );
  }
  const concluded = conclusion(job.result);
  return (
    <div className="nbl-detail-strip" data-mood="plain" role="status">
      {concluded ? <Concluded {...view} concluded={concluded} /> : <Bdi text={job.text} />}
      {dismiss}
    </div>
  );
}

function Concluded({
  concluded,
  detail,
  trans,
  commands,
  model
}: IHeadView & { concluded: IConclusion }): ReactElement {
  const { verdict, again, into, lines } = concluded;
  return (
    <div className="nbl-detail-concluded">
      <p>
        {verdict === null ? (
          trans.__('The run was restored.')
        ) : (
          <>
            {trans.__('Verdict:')} <VerdictChip verdict={verdict} trans={trans} />{' '}
            {concluded.metrics
              ? trans.__('%1 of %2 metrics are bit-equal.', concluded.equal, concluded.metrics)
              : trans.__('The run recorded no metric to compare.')}
          </>
        )}
      </p>
      {into ? (
        <p className="nbl-detail-aside">
          {trans.__('It stands in')} <Clip text={into} />
          <Copy text={into} label={trans.__('Copy the folder’s path')} trans={trans} />
        </p>
      ) : null}
      {lines.length ? (
        <details>
          <summary>{trans._n('%1 thing to know', '%1 things to know', lines.length)}</summary>
          <ul>
            {lines.slice(0, MOST).map((line, at) => (
              <li key={at}>
                <Bdi text={line} />
              </li>
            ))}
            {lines.length > MOST ? <li>{trans.__('… and %1 more', lines.length - MOST)}</li> : null}
          </ul>
        </details>
      ) : null}
      {again ? (
        <div className="nbl-detail-acts">
          <TextButton
            label={trans.__('Open the new run')}
            onClick={() => {
              void commands.execute(Commands.openRun, { run: again, path: model.path });
            }}
          />
          <TextButton
            label={trans.__('Compare the two')}
            onClick={() => {
              void commands.execute(Commands.compare, {
                runs: [detail.run.run_id, again],
                path: model.path
              });
            }}
          />
        </div>
      ) : null}
    </div>
  );
}
