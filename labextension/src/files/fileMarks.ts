import type { TranslationBundle } from '@jupyterlab/translation';

import type { IData, ITracked } from '../api/types';

/** What the file browser shows of an item's data. */
export interface IFileMark {
  readonly state: ITracked['state'];
  readonly sign: string;
  readonly title: string;
}

const SIGNS: Readonly<Record<ITracked['state'], string>> = {
  clean: '✓',
  changed: 'M',
  missing: '!'
};

/**
 * The marks of a project's items by path. A file that is missing is not listed, so its pointer is marked; what lies in a
 * tracked folder that has not changed is versioned with it.
 */
export class FileMarks {
  constructor(data: IData, trans: TranslationBundle) {
    const titles: Readonly<Record<ITracked['state'], string>> = {
      clean: trans.__('Versioned by DVC'),
      changed: trans.__('Versioned by DVC, changed since'),
      missing: trans.__('Versioned by DVC, but missing here: pull or use a version')
    };
    for (const { path, state, folder } of data.tracked) {
      const mark = { state, sign: SIGNS[state], title: titles[state] };
      this.marks.set(path, mark);
      if (state === 'missing') {
        this.marks.set(`${path}.dvc`, mark);
      }
      if (folder && state === 'clean') {
        this.folders.set(path, { ...mark, title: trans.__('Versioned by DVC with %1', path) });
      }
    }
  }

  at(path: string): IFileMark | null {
    const own = this.marks.get(path);
    if (own || !this.folders.size) {
      return own ?? null;
    }
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const folder = this.folders.get(path.slice(0, end));
      if (folder) {
        return folder;
      }
    }
    return null;
  }

  private readonly marks = new Map<string, IFileMark>();
  private readonly folders = new Map<string, IFileMark>();
}
