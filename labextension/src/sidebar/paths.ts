/** Paths as Jupyter's contents write them: no slash in front, "" for the server's root. */

export function join(folder: string, path: string): string {
  return folder && path ? `${folder}/${path}` : folder || path;
}

/** `path` relative to `folder`; null if it is not below it. */
export function below(path: string, folder: string | null): string | null {
  if (folder === null) {
    return null;
  }
  if (path === folder || folder === '') {
    return path === folder ? '' : path;
  }
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : null;
}

export function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
