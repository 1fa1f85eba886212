import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { ICause } from '../api/types';
import { Bdi } from '../shared/text';
import { Capped, Part } from './pieces';

/** Why the numbers differ, the strongest cause first. */
export function Causes({
  causes,
  equal,
  two,
  trans
}: {
  readonly causes: readonly ICause[];
  readonly equal: boolean | null;
  readonly two: boolean;
  readonly trans: TranslationBundle;
}): ReactElement | null {
  // Without metrics of both there is nothing to explain.
  if (!two || (causes.length === 0 && equal === null)) {
    return null;
  }
  return (
    <Part
      title={
        equal ? trans.__('What differs, without effect on metrics') : trans.__('Why they differ')
      }
    >
      {equal && causes.length === 0 && <p>{trans.__('Nothing: the metrics are the same.')}</p>}
      {!equal && causes.length === 0 && (
        <p className="nbl-quiet">{trans.__('No cause was found in what was recorded.')}</p>
      )}
      <Capped all={causes} most={8} trans={trans}>
        {shown => (
          <ol className="nbl-causes">
            {shown.map((cause, at) => (
              <li key={at}>
                <Weight weight={cause.weight} trans={trans} />
                <span className={`nbl-kind nbl-mod-${cause.kind}`}>
                  {kindText(cause.kind, trans)}
                </span>
                <div className="nbl-cause-text">
                  <Bdi text={cause.what} />
                  {cause.evidence && (
                    <div className="nbl-quiet">
                      <Bdi text={cause.evidence} />
                    </div>
                  )}
                </div>
              </li>
            ))}
          </ol>
        )}
      </Capped>
    </Part>
  );
}

const STRONG = 0.75;
const LIKELY = 0.5;
const POSSIBLE = 0.25;

export function weightText(weight: number, trans: TranslationBundle): string {
  return weight >= STRONG
    ? trans.__('strong')
    : weight >= LIKELY
      ? trans.__('likely')
      : weight >= POSSIBLE
        ? trans.__('possible')
        : weight > 0
          ? trans.__('weak')
          : trans.__('no effect');
}

/** How much a cause explains: a bar and a word. */
function Weight({
  weight,
  trans
}: {
  readonly weight: number;
  readonly trans: TranslationBundle;
}): ReactElement {
  const share = Math.round(Math.min(Math.max(weight, 0), 1) * 100);
  return (
    <span className="nbl-weight" title={trans.__('weight %1 of 100', share)}>
      <svg width={48} height={8} aria-hidden="true">
        <rect className="nbl-weight-whole" width={48} height={8} rx={2} />
        <rect className="nbl-weight-part" width={(48 * share) / 100} height={8} rx={2} />
      </svg>
      {weightText(weight, trans)}
    </span>
  );
}

function kindText(kind: string, trans: TranslationBundle): string {
  const words: Readonly<Record<string, string>> = {
    data: trans.__('data'),
    code: trans.__('code'),
    parameter: trans.__('parameter'),
    environment: trans.__('environment'),
    seed: trans.__('seed'),
    order: trans.__('order'),
    hardware: trans.__('hardware'),
    nondeterminism: trans.__('nondeterminism')
  };
  return words[kind] ?? kind;
}
