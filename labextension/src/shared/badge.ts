import type { TranslationBundle } from '@jupyterlab/translation';

import type { IProblem, IState } from '../api/types';
import type { ILedger } from '../tokens';

/** `unknown`: not asked yet; `away`: it cannot be told; `none`: no project here. */
export type BadgeKind = 'ok' | 'not-yet' | 'none' | 'away' | 'unknown';

/** Whether what is on screen could be brought back, in few words. */
export interface IBadge {
  readonly kind: BadgeKind;
  /** One or two words: `reproducible`, `not yet`. */
  readonly label: string;
  /** The whole sentence: `not yet: because …`. */
  readonly text: string;
  /** One line a reason, most important first. */
  readonly reasons: readonly string[];
}

/** The badge of the project on screen, as it is now. */
export function badgeOf({ state, trans, unsaved }: ILedger): IBadge {
  return badge(state.value, trans, state.value ? null : state.problem, unsaved.paths);
}

/** Sum up `state`; `problem` is why there is none, `unsaved` what open documents hold and the disk does not. */
export function badge(
  state: IState | null,
  trans: TranslationBundle,
  problem: IProblem | null = null,
  unsaved: readonly string[] = []
): IBadge {
  if (problem) {
    return made('away', trans.__('unknown'), problem.error, [problem.hint].filter(Boolean));
  }
  if (!state) {
    return made('unknown', trans.__('looking…'), trans.__('Looking at the project…'));
  }
  if (!state.code.repository) {
    return made(
      'none',
      trans.__('no project'),
      trans.__('This folder is not under version control')
    );
  }
  const reasons = state.because.map(reason => reason.text);
  if (unsaved[0] !== undefined) {
    const one = trans.__('%1 is not saved', unsaved[0]);
    reasons.push(unsaved.length > 1 ? trans.__('%1 documents are not saved', unsaved.length) : one);
  }
  if (state.clean && !reasons.length) {
    return made(
      'ok',
      trans.__('reproducible'),
      trans.__('Reproducible: a run now could be brought back')
    );
  }
  const first = reasons[0] ?? trans.__('something is not recorded');
  const more = reasons.length > 1 ? trans.__(' (and %1 more)', reasons.length - 1) : '';
  return made(
    'not-yet',
    trans.__('not yet'),
    trans.__('Not yet reproducible: because %1', first) + more,
    reasons
  );
}

function made(
  kind: BadgeKind,
  label: string,
  text: string,
  reasons: readonly string[] = []
): IBadge {
  return { kind, label, text, reasons };
}
