/** A line of a unified diff, with its numbers on both sides. */
export interface ILine {
  readonly kind: 'added' | 'removed' | 'same' | 'hunk';
  readonly sign: string;
  readonly text: string;
  readonly before: number | null;
  readonly after: number | null;
}

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/;

/** Number the lines of a unified diff; what stands before the first hunk is left out. */
export function gutter(lines: readonly string[]): readonly ILine[] {
  const found: ILine[] = [];
  let before = 0;
  let after = 0;
  for (const line of lines) {
    const hunk = HUNK.exec(line);
    if (hunk) {
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      found.push({ kind: 'hunk', sign: '', text: line, before: null, after: null });
    } else if (found.length) {
      const sign = line[0] ?? ' ';
      const text = line.slice(1);
      if (sign === '+') {
        found.push({ kind: 'added', sign, text, before: null, after: after++ });
      } else if (sign === '-') {
        found.push({ kind: 'removed', sign: '−', text, before: before++, after: null });
      } else {
        // a backslash tells that there is no line feed at the end: that is no line
        const same = sign !== '\\';
        found.push({
          kind: 'same',
          sign: '',
          text: same ? text : line,
          before: same ? before++ : null,
          after: same ? after++ : null
        });
      }
    }
  }
  return found;
}
