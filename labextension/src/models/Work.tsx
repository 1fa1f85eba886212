import { useReducer, type ReactElement } from 'react';

import type { IJob, IProblem, JobKind } from '../api/types';
import { useLive } from '../shared/hooks';
import { Problem, Progress, TextButton } from '../shared/parts';
import { Clip, cut } from '../shared/text';
import type { ILedger } from '../tokens';

const KINDS: readonly JobKind[] = ['deploy', 'drift'];

/** Work on models: what runs now, and the last of each kind if it came to nothing. */
export function Work(props: {
  ledger: ILedger;
  /** The ids of the failures that somebody has put away. It outlives the page. */
  read: Set<string>;
}): ReactElement | null {
  const { ledger, read } = props;
  const { trans } = ledger;
  const [, draw] = useReducer((n: number) => n + 1, 0);
  const jobs = useLive(ledger.jobs).value ?? [];
  const running = jobs.filter(job => KINDS.includes(job.kind) && job.state === 'running');
  const last = KINDS.map(kind => jobs.find(job => job.kind === kind));
  return (
    <>
      {running.length ? (
        <ul className="nbl-models-work" aria-label={trans.__('Work on models')}>
          {running.map(job => (
            <li key={job.id}>
              <b>
                <Clip text={job.title} />
              </b>
              <Progress done={job.done} total={job.total} label={cut(job.title, 200)} />
              <Clip text={job.text || trans.__('under way')} className="nbl-models-none" />
              <TextButton
                label={trans.__('Stop')}
                title={trans.__('Stop: %1', cut(job.title, 200))}
                onClick={() => void ledger.attempt(() => ledger.api.stop(job.id))}
              />
            </li>
          ))}
        </ul>
      ) : null}
      {last.map(job => {
        const problem = job && !read.has(job.id) ? failureOf(job) : null;
        return job && problem ? (
          <Problem key={job.id} problem={problem} trans={trans}>
            <TextButton
              label={trans.__('Put away')}
              title={trans.__('Put away: %1', cut(job.title, 200))}
              onClick={() => {
                read.add(job.id);
                draw();
              }}
            />
          </Problem>
        ) : null;
      })}
    </>
  );
}

/** Why a job came to nothing: it failed, or it ended and the model is not served. */
export function failureOf(
  job: Pick<IJob, 'state' | 'title' | 'problem' | 'text' | 'result'>
): IProblem | null {
  const { state, title, problem, text, result } = job;
  if (state === 'failed') {
    const { error, ...more } = problem ?? { error: text, hint: '', code: 3 };
    return { ...more, error: `${title}: ${error}` };
  }
  const bad = result !== null && typeof result === 'object' && 'ok' in result && !result.ok;
  return state === 'done' && bad ? { error: text || title, hint: '', code: 1 } : null;
}
