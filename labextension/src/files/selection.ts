import type { IDefaultFileBrowser, IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { IState } from '../api/types';
import type { ILedger } from '../tokens';

/** A path of the project that a command is about: what it is told, else the one item that the file browser has selected. */
export type Subject = (args: ReadonlyPartialJSONObject) => string | null;

export function subjectIn(
  ledger: ILedger,
  factory: IFileBrowserFactory | null,
  files: IDefaultFileBrowser | null
): Subject {
  const selected = selectedIn(ledger, factory, files);
  return args => {
    if (typeof args.path === 'string') {
      return args.path;
    }
    const paths = selected();
    return paths.length === 1 ? (paths[0] ?? null) : null;
  };
}

/** What is selected in the file browser that was used last, as paths of the project. */
export function selectedIn(
  ledger: ILedger,
  factory: IFileBrowserFactory | null,
  files: IDefaultFileBrowser | null
): () => readonly string[] {
  return () => {
    const browser = factory?.tracker.currentWidget ?? files;
    return (browser ? [...browser.selectedItems()] : [])
      .map(item => ledger.projectPath(item.path))
      .filter((path): path is string => Boolean(path));
  };
}

/** Those of `paths` that can be data of this project and are not versioned as they are. */
export function trackable(state: IState | null, paths: readonly string[]): readonly string[] {
  if (!state?.code.repository) {
    return [];
  }
  const { tracked } = state.data;
  return paths.filter(
    path =>
      !CODE.test(path) &&
      !tracked.some(
        one =>
          one.state !== 'changed' &&
          (one.path === path || (one.folder && path.startsWith(`${one.path}/`)))
      )
  );
}

/** Code, configuration and pointers belong to Git. */
const CODE = /(^|\/)(\.[^/]*|dvc\.(yaml|lock)|[^/]+\.(ipynb|py|dvc|toml|md))$/;

/** What DVC tracks at `path` of the project: the thing itself, its pointer, or the tracked folder that holds it. */
export function trackedAt(state: IState | null, path: string): string | null {
  const bare = path.replace(/\.dvc$/, '');
  const all = state?.data.tracked ?? [];
  const found =
    all.find(one => one.path === path || one.path === bare) ??
    all.find(one => one.folder && path.startsWith(`${one.path}/`));
  return found?.path ?? null;
}

/** Whether something at `path` differs from the last commit or the data's pointer. */
export function differs(state: IState | null, path: string): boolean {
  if (!state) {
    return false;
  }
  const { code, data } = state;
  const bare = path.replace(/\.dvc$/, '');
  return [code.changed, code.untracked, data.changed, data.missing].some(list =>
    list.some(one => one === path || one === bare || under(path, one) || under(one, path))
  );
}

function under(path: string, folder: string): boolean {
  return path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
