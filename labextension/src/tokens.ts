import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Toolbar } from '@jupyterlab/ui-components';

import type { Api } from './api/api';
import type { IChanged, IJob, IProblem, IRun, IState } from './api/types';

export { NAME } from './names';

/** Something that is fetched once and kept up to date by events while the page is visible. */
export interface ILive<T> {
  /** Null until it was fetched. */
  readonly value: T | null;
  /** Why the last fetch failed; null when it succeeded. */
  readonly problem: IProblem | null;
  readonly loading: boolean;
  readonly changed: ISignal<unknown, void>;
  refresh(): Promise<void>;
}

/** Which runs a change touched; null means any of them. */
export interface IRunsDelta {
  readonly changed: readonly string[] | null;
  readonly removed: readonly string[];
}

/** All runs of the project's experiment, the newest first. */
export interface IRunsStore {
  readonly list: readonly IRun[];
  readonly total: number;
  readonly loaded: boolean;
  readonly loading: boolean;
  readonly problem: IProblem | null;
  get(id: string): IRun | undefined;
  /** The run that a journal became, for outputs that were written before the run had its id. */
  byJournal(id: string): IRun | undefined;
  readonly changed: ISignal<unknown, IRunsDelta>;
  refresh(): Promise<void>;
}

/** Open documents of the project with changes that are not on the disk yet; paths of the project. */
export interface IUnsaved {
  readonly paths: readonly string[];
  readonly changed: ISignal<unknown, void>;
  save(): Promise<void>;
}

/** The project of what is on screen, and everything that is known of it. One for the whole Lab. */
export interface ILedger {
  readonly api: Api;
  readonly state: ILive<IState>;
  readonly runs: IRunsStore;
  readonly jobs: ILive<readonly IJob[]>;
  readonly unsaved: IUnsaved;
  /** The path (of Jupyter's contents) that names the project: the notebook's or the file browser's. */
  readonly path: string;
  /** Another project is on screen now; everything above starts anew. */
  readonly projectChanged: ISignal<unknown, void>;
  /** The server said that something of this project changed; lists that are not kept here look again. */
  readonly told: ISignal<unknown, IChanged>;
  /** The current notebook, relative to the project's root; null if none is in front. */
  readonly notebook: string | null;
  readonly notebookChanged: ISignal<unknown, void>;
  readonly trans: TranslationBundle;
  /** A path of the project as a path of Jupyter's contents; null where the server does not serve it. */
  contentsPath(path: string): string | null;
  /** A path of Jupyter's contents as one of the project; null outside of it. */
  projectPath(path: string): string | null;
  /** Do `work`; on failure say why in a notification. What it was answered, or null. */
  attempt<T>(work: Promise<T> | (() => Promise<T>)): Promise<T | null>;
}

export const ILedger = new Token<ILedger>(
  'nbledger:ILedger',
  'The state and the runs of a project.'
);

/** A section of the sidebar: its title is the heading; a toolbar, if it has one, stands in the heading. */
export type ISection = Widget & { readonly toolbar?: Toolbar };

/** The sidebar: each part of it is added by its own plugin. */
export interface ILedgerSidebar {
  /**
   * Add a section; a lower rank stands further up (State has 0). `open`: whether it is open until the user decides
   * otherwise. The section's id names what the user decided, so it must be one of `Ids`.
   */
  add(section: ISection, rank: number, options?: { readonly open?: boolean }): void;
  /** Show the sidebar with this section open, and put the focus there. */
  reveal(section: ISection): void;
}

export const ILedgerSidebar = new Token<ILedgerSidebar>(
  'nbledger:ILedgerSidebar',
  'The sidebar of nbledger.'
);
