/** The artifacts of a run, which come as a list of paths, as the folders that they stand in. */
export interface IArtifact {
  readonly path: string;
  readonly size: number | null;
  readonly folder: boolean;
}

export interface IBranch {
  readonly name: string;
  readonly path: string;
  readonly folder: boolean;
  /** Of a folder: the sum of what is known of it. Null where nothing is. */
  readonly size: number | null;
  readonly files: number;
  readonly children: readonly IBranch[];
}

interface IDraft {
  name: string;
  path: string;
  folder: boolean;
  size: number | null;
  children: Map<string, IDraft>;
}

export function tree(artifacts: readonly IArtifact[]): readonly IBranch[] {
  const root = draft('', '');
  for (const artifact of artifacts) {
    const names = artifact.path.split('/').filter(Boolean);
    let place = root;
    names.forEach((name, depth) => {
      let next = place.children.get(name);
      if (!next) {
        next = draft(name, names.slice(0, depth + 1).join('/'));
        place.children.set(name, next);
      }
      place = next;
    });
    if (place !== root && !artifact.folder && place.children.size === 0) {
      place.folder = false;
      place.size = artifact.size;
    }
  }
  return finished(root).children;
}

function draft(name: string, path: string): IDraft {
  return { name, path, folder: true, size: null, children: new Map() };
}

function finished(from: IDraft): IBranch {
  const children = Array.from(from.children.values(), finished).sort(
    (a, b) => Number(b.folder) - Number(a.folder) || a.name.localeCompare(b.name)
  );
  const sizes = children.flatMap(child => (child.size === null ? [] : [child.size]));
  return {
    name: from.name,
    path: from.path,
    folder: from.folder || children.length > 0,
    size: children.length ? (sizes.length ? sizes.reduce((a, b) => a + b, 0) : null) : from.size,
    files: children.length
      ? children.reduce((sum, child) => sum + child.files, 0)
      : Number(!from.folder),
    children
  };
}
