/** The Python that is sent beside a notebook's cells; `nbledger_magics.whole` is what it calls. */

/** What the kernel is told: the run's name, its last cell, and the cells that may fail (`raises-exception`). */
export interface IPlan {
  readonly name: string;
  readonly last: string;
  readonly allowed: readonly string[];
}

export type Outcome = 'FINISHED' | 'FAILED' | 'KILLED';

/** An expression for the journal of the run that was begun, or "". */
export const JOURNAL = '_nbledger_journal or ""';
/** An expression for how the run ended. */
export const OUTCOME = 'globals().pop("_nbledger_outcome")';

/** The code that opens the run. Its words are JSON, which is Python too for texts and lists of texts. */
export function beginning({ name, last, allowed }: IPlan): string {
  const words = [name, last, allowed].map(word => JSON.stringify(word)).join(', ');
  return [
    'import nbledger as _nbledger, nbledger_magics.whole as _nbledger_whole',
    '_nbledger.load_ipython_extension(get_ipython())',
    `_nbledger_journal = _nbledger_whole.begin(get_ipython()._nbledger_session, ${words})`
  ].join('\n');
}

/** The code that asks how the run ended, or ends it; `ran`: whether all cells ran. */
export function ending(journal: string, ran: boolean): string {
  const words = [journal, ran ? 'FINISHED' : 'KILLED'].map(word => JSON.stringify(word)).join(', ');
  return [
    'try:',
    `    _nbledger_outcome = _nbledger_whole.end(get_ipython()._nbledger_session, ${words})`,
    '    del _nbledger, _nbledger_whole, _nbledger_journal',
    'except (NameError, AttributeError):',
    '    _nbledger_outcome = "KILLED"  # another kernel by now'
  ].join('\n');
}

/** The text of a user expression that is a string. */
export function textOf(value: unknown): string {
  const data = (value as { data?: Record<string, unknown> } | undefined)?.data;
  const plain = data?.['text/plain'];
  return typeof plain === 'string' ? plain.replace(/^'|'$/g, '') : '';
}
