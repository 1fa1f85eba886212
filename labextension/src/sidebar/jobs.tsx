import { stopIcon } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import type { IJob } from '../api/types';
import { useLive } from '../shared/hooks';
import { IconButton, Progress } from '../shared/parts';
import { Clip, cut } from '../shared/text';
import type { ILedger } from '../tokens';

/** Work that runs now, how far it is, and a button that stops it. */
export function Jobs({
  ledger,
  stop
}: {
  ledger: ILedger;
  stop: (job: IJob) => void;
}): ReactElement | null {
  const jobs = (useLive(ledger.jobs).value ?? []).filter(job => job.state === 'running');
  const { trans } = ledger;
  return jobs.length ? (
    <ul className="nbl-jobs" aria-label={trans.__('Work that runs')}>
      {jobs.map(job => (
        <li key={job.id} className="nbl-job">
          <div className="nbl-line">
            <Clip text={job.title} className="nbl-line-text" />
            <IconButton
              icon={stopIcon}
              label={trans.__('Stop: %1', cut(job.title, 200))}
              onClick={() => {
                stop(job);
              }}
            />
          </div>
          <Progress done={job.done} total={job.total} label={cut(job.title, 200)} />
          {job.text ? <Clip text={job.text} className="nbl-aside" /> : null}
        </li>
      ))}
    </ul>
  ) : null;
}
