import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IRun } from '../api/types';

type Status = IRun['status'];

const SHAPES: Readonly<Record<Status, ReactElement>> = {
  FINISHED: <path d="M3.2 8.4l3 3 6.4-6.8" fill="none" strokeWidth={2} />,
  FAILED: <path d="M4 4l8 8M12 4l-8 8" fill="none" strokeWidth={2} />,
  KILLED: <rect x={4} y={4} width={8} height={8} />,
  RUNNING: <path d="M5 3.2v9.6l8-4.8z" />,
  SCHEDULED: <circle cx={8} cy={8} r={4.5} fill="none" strokeWidth={1.5} />
};

export function statusText(status: Status, trans: TranslationBundle): string {
  switch (status) {
    case 'FINISHED':
      return trans.__('finished');
    case 'FAILED':
      return trans.__('failed');
    case 'KILLED':
      return trans.__('killed');
    case 'RUNNING':
      return trans.__('running');
    default:
      return trans.__('scheduled');
  }
}

/** What became of a run: a shape and a word (or, where there is no room, a name for screen readers). */
export function StatusMark({
  status,
  trans,
  bare = false
}: {
  status: Status;
  trans: TranslationBundle;
  bare?: boolean;
}): ReactElement {
  const text = statusText(status, trans);
  return (
    <span className={`nbl-run-status nbl-mod-${status.toLowerCase()}`} title={text}>
      <svg
        width={14}
        height={14}
        viewBox="0 0 16 16"
        role={bare ? 'img' : undefined}
        aria-label={bare ? text : undefined}
        aria-hidden={bare ? undefined : true}
      >
        {SHAPES[status]}
      </svg>
      {!bare && <span>{text}</span>}
    </span>
  );
}
