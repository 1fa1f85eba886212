import { Token } from '@lumino/coreutils';

import { NAME } from '../names';
import type { RunsModel } from './model/model';

/** The tables of runs, for parts that act on what is selected in them. */
export interface IRunTables {
  /** The table in the main area. */
  readonly table: RunsModel;
  /** The table that was used last. */
  readonly current: RunsModel;
}

export const IRunTables = new Token<IRunTables>(`${NAME}:IRunTables`, 'The tables of runs.');
