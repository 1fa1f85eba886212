/** Tags as the dialog edits them: a list, so that a name can be typed letter by letter and be wrong for a while. */
export interface ITagRow {
  readonly key: string;
  readonly value: string;
}

export type Tags = Readonly<Record<string, string>>;
export type TagChanges = Readonly<Record<string, string | null>>;

/** Tags that MLflow or nbledger wrote and that mean something to them; they are shown, not edited. */
export function reserved(key: string): boolean {
  return key.startsWith('mlflow.') || key.startsWith('nbledger.');
}

export function ownTags(tags: Tags): readonly ITagRow[] {
  return Object.entries(tags)
    .filter(([key]) => !reserved(key))
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([key, value]) => ({ key, value }));
}

export type RowProblem = 'empty' | 'reserved' | 'twice' | 'characters' | 'long';

/** What is wrong with a row; null if nothing. A row without name and value is not there. */
export function rowProblem(rows: readonly ITagRow[], index: number): RowProblem | null {
  const row = rows[index];
  if (!row || (!row.key.trim() && !row.value.trim())) {
    return null;
  }
  const key = row.key.trim();
  if (!key) {
    return 'empty';
  }
  if (reserved(key)) {
    return 'reserved';
  }
  // What MLflow takes as a name.
  if (!/^[\p{L}\p{N}_ .:/-]+$/u.test(key)) {
    return 'characters';
  }
  if (key.length > 250 || row.value.length > 8_000) {
    return 'long';
  }
  return rows.some((other, at) => at < index && other.key.trim() === key) ? 'twice' : null;
}

/** What to set and (null) to remove so that `before` becomes `rows`. */
export function tagChanges(before: Tags, rows: readonly ITagRow[]): TagChanges {
  const after = new Map(rows.filter(row => row.key.trim()).map(row => [row.key.trim(), row.value]));
  const changes: Record<string, string | null> = {};
  for (const [key, value] of after) {
    if (before[key] !== value) {
      changes[key] = value;
    }
  }
  for (const { key } of ownTags(before)) {
    if (!after.has(key)) {
      changes[key] = null;
    }
  }
  return changes;
}

/** What takes `changes` back. */
export function undone(before: Tags, changes: TagChanges): TagChanges {
  return Object.fromEntries(Object.keys(changes).map(key => [key, before[key] ?? null]));
}
