/**
 * Which cells make nbledger take a snapshot of the notebook as it is on disk.
 *
 * A magic may follow others (`%%time` and then `%%mlrun`), be indented, or have its value assigned, so every
 * line of the cell is looked at. Where this says yes too often, a notebook is saved once more than needed.
 */
const TRACKED: readonly RegExp[] = [
  /^[ \t]*(?:[\w.]+[ \t]*=[ \t]*)?%{1,2}mlrun\b(?![ \t]+(?:stop|show)\b)/m,
  /^[ \t]*%%stage\b/m,
  /^[ \t]*(?:[\w.]+[ \t]*=[ \t]*)?%ledger[ \t]+(?:checkpoint|repro|mlrun)\b/m
];

/** Whether running `source` records the notebook on disk. */
export function isTracked(source: string): boolean {
  return source.includes('%') && TRACKED.some(pattern => pattern.test(source));
}
