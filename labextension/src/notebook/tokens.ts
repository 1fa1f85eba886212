import { NAME } from '../names';
import type { INotebookModel } from '@jupyterlab/notebook';

import type { Batches } from './batches';
import type { Saver } from './saver';

/** JupyterLab's own cell executor, which stays in charge where another extension has switched it off. */
export const DEFAULT_EXECUTOR = '@jupyterlab/notebook-extension:cell-executor';

export const EXECUTOR_ID = `${NAME}:cell-executor`;
export const SAVE_ID = `${NAME}:save-before-run`;
export const SAVE_SETTING = 'saveBeforeTrackedRun';

/** What the two plugins share: JupyterLab needs the executor before it can make the notebook tracker. */
export interface IShared {
  readonly batches: Batches<INotebookModel>;
  /** Set once the notebook tracker is there; until then cells run as they are. */
  saver: Saver<INotebookModel> | null;
}
