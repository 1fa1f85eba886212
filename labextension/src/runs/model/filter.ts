import type { IRun } from '../../api/types';
import { personKey } from '../../shared/people';
import { MINE, type IScope } from './settings';

// As core/runs.py tells MLflow's filter syntax from plain words.
const SYNTAX = /[<>=]|\b(I?LIKE|IN|IS)\b/;

/** Whether a filter is MLflow's syntax, which the server understands, and not words to look for here. */
export function isSyntax(text: string): boolean {
  return SYNTAX.test(text);
}

const haystacks = new WeakMap<IRun, string>();

/** All that plain words are looked for in; made once for each state of a run. */
function haystack(run: IRun): string {
  let found = haystacks.get(run);
  if (found === undefined) {
    const pairs = [...Object.entries(run.params), ...Object.entries(run.tags)];
    found = [
      run.name,
      run.run_id,
      run.status,
      run.experiment,
      run.notebook ?? '',
      run.user ?? '',
      ...pairs.map(([key, value]) => `${key}=${value}`),
      ...run.inputs.map(input => input.path)
    ]
      .join('\n')
      .toLowerCase();
    haystacks.set(run, found);
  }
  return found;
}

/** Whether a run holds all words of `text`. */
export function wordsIn(text: string): (run: IRun) => boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) {
    return () => true;
  }
  return run => {
    const where = haystack(run);
    return words.every(word => where.includes(word));
  };
}

/** `mine` are the keys of whoever looks at the table. */
export function inScope(
  scope: IScope,
  notebook: string | null,
  mine: readonly string[]
): (run: IRun) => boolean {
  const { thisNotebook, user } = scope;
  const wanted = user === null ? null : new Set(user === MINE ? mine : [user]);
  return run =>
    (!thisNotebook || notebook === null || run.notebook === notebook) &&
    (wanted === null || wanted.has(personKey(run.user)));
}
