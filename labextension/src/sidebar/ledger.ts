import type { TranslationBundle } from '@jupyterlab/translation';
import { Signal, type ISignal } from '@lumino/signaling';

import type { Api } from '../api/api';
import type { IChanged, IJob, IProblem, IState, Part } from '../api/types';
import { Live, problemOf } from '../shared/live';
import type { ILedger, IUnsaved } from '../tokens';
import type { IFeed } from './feed';
import { below, join } from './paths';
import { RunsStore } from './runsStore';
import { NothingUnsaved } from './unsaved';

const PARTS: readonly Part[] = ['state', 'runs', 'models', 'pipeline', 'jobs'];
/** While the page is looked at the server hears of it this often, so that it keeps watching the project. */
const SIGN_OF_LIFE = 10 * 60_000;

/** How long the event bus may take to answer before the server is asked without it. */
const BUS_PATIENCE = 1_500;

/** What the ledger stands on; tests put their own in its place. */
export interface IWorld {
  /** The routes, about the project that holds `path()`. */
  api(path: () => string): Api;
  readonly feed: IFeed;
  readonly trans: TranslationBundle;
  /** Tell the user what went wrong. */
  complain(problem: IProblem): void;
}

export class Ledger implements ILedger {
  readonly api: Api;
  readonly state: Live<IState>;
  readonly runs: RunsStore;
  readonly jobs: Live<readonly IJob[]>;
  readonly trans: TranslationBundle;
  /** Set once the documents of the Lab are known. */
  unsaved: IUnsaved = new NothingUnsaved();

  constructor(private readonly world: IWorld) {
    this.trans = world.trans;
    this.api = world.api(() => this.anchor);
    const probe = world.api(() => this.folder);
    this.state = new Live(async () => this.arrived(await probe.state()));
    this.runs = new RunsStore(this.api, () => {
      this.refresh(['runs']);
    });
    this.jobs = new Live(async () => (await this.api.jobs()).jobs);
    world.feed.changed.connect((_, changed) => {
      this.hear(changed);
    });
    world.feed.connected.connect(() => {
      this.connected();
    });
    this.state.changed.connect(() => {
      this.settle();
    });
  }

  get path(): string {
    return this.anchor;
  }

  get notebook(): string | null {
    return this.notebookPath === null ? null : this.projectPath(this.notebookPath);
  }

  get projectChanged(): ISignal<this, void> {
    return this.projectSignal;
  }

  get told(): ISignal<this, IChanged> {
    return this.toldSignal;
  }

  get notebookChanged(): ISignal<this, void> {
    return this.notebookSignal;
  }

  /** The folder on screen is that of `path` now. The project may be the same as before: `state` tells. */
  show(folder: string): void {
    if (this.started && folder === this.folder) {
      return;
    }
    this.folder = folder;
    this.moving = true;
    if (!this.started) {
      this.started = true;
      this.anchor = folder;
      this.resume();
    } else if (this.awake) {
      void this.state.refresh();
    }
  }

  /** The notebook on screen (a path of Jupyter's contents), or null. */
  showNotebook(path: string | null): void {
    if (path !== this.notebookPath) {
      this.notebookPath = path;
      this.notebookSignal.emit();
    }
  }

  /** Nobody looks: hear nothing, ask nothing. */
  pause(): void {
    this.awake = false;
    this.world.feed.close();
    clearInterval(this.heart);
    clearTimeout(this.impatience);
    [this.state, this.runs, this.jobs].forEach(part => {
      part.pause();
    });
  }

  /** Somebody looks (again): what happened meanwhile is asked for when the event bus answers. */
  resume(): void {
    this.awake = true;
    if (!this.started) {
      return;
    }
    clearInterval(this.heart);
    this.heart = setInterval(() => void this.state.refresh(), SIGN_OF_LIFE);
    // What is asked before the bus is heard may change unheard; where the bus does not come, ask all the same.
    clearTimeout(this.impatience);
    this.impatience = setTimeout(() => {
      this.catchUp();
    }, BUS_PATIENCE);
    this.world.feed.open();
  }

  /** Ask for everything that is shown. */
  catchUp(): void {
    if (this.awake && this.started) {
      this.refresh(PARTS);
      this.toldSignal.emit({
        project: this.project ?? '',
        parts: PARTS,
        version: this.state.value?.version ?? 0
      });
    }
  }

  contentsPath(path: string): string | null {
    const state = this.state.value;
    if (!state) {
      return null;
    }
    return state.base === null ? below(path, state.prefix || null) : join(state.base, path);
  }

  projectPath(path: string): string | null {
    const state = this.state.value;
    if (!state) {
      return null;
    }
    if (state.base === null) {
      return state.prefix ? join(state.prefix, path) : null;
    }
    return below(path, state.base);
  }

  async attempt<T>(work: Promise<T> | (() => Promise<T>)): Promise<T | null> {
    try {
      return await (typeof work === 'function' ? work() : work);
    } catch (reason) {
      this.world.complain(problemOf(reason));
      return null;
    }
  }

  private connected(): void {
    clearTimeout(this.impatience);
    this.catchUp();
  }

  private hear(changed: IChanged): void {
    if (!this.awake || (this.project !== null && changed.project !== this.project)) {
      return;
    }
    this.refresh(changed.parts);
    if (this.project !== null) {
      this.toldSignal.emit(changed);
    }
  }

  private refresh(parts: readonly Part[]): void {
    if (parts.includes('state')) {
      void this.state.refresh();
    }
    if (!this.state.value?.code.repository) {
      return; // no ledger here, or not known yet: what else is shown follows when it is
    }
    if (parts.includes('jobs')) {
      void this.jobs.refresh();
    }
    if (parts.includes('runs') && this.runs.wanted) {
      void this.runs.refresh();
    }
  }

  /** The state came in: before anyone hears of it, the rest must be about the same project. */
  private arrived(state: IState): IState {
    this.moving = false;
    this.anchor = state.base ?? this.folder;
    const other = state.project !== this.project;
    const begun = state.code.repository !== this.state.value?.code.repository;
    this.changing = other || begun;
    this.project = state.project;
    return state;
  }

  private settle(): void {
    if (this.changing && !this.state.loading) {
      this.changing = false;
      this.startAnew();
    } else if (this.moving && !this.state.loading && this.state.problem) {
      // There is no project to show here; that of before is not what is on screen.
      this.moving = false;
      this.anchor = this.folder;
      this.project = null;
      const shown = this.state.value !== null;
      this.state.value = null;
      if (shown) {
        this.startAnew();
      }
    }
  }

  private startAnew(): void {
    this.jobs.reset();
    this.runs.reset();
    if (this.awake) {
      this.refresh(['runs', 'jobs']);
    }
    this.projectSignal.emit();
    this.notebookSignal.emit();
  }

  private folder = '';
  private anchor = '';
  private project: string | null = null;
  private notebookPath: string | null = null;
  private started = false;
  private awake = true;
  private moving = false;
  private changing = false;
  private impatience: ReturnType<typeof setTimeout> | undefined;
  private heart: ReturnType<typeof setInterval> | undefined;
  private readonly projectSignal = new Signal<this, void>(this);
  private readonly toldSignal = new Signal<this, IChanged>(this);
  private readonly notebookSignal = new Signal<this, void>(this);
}
