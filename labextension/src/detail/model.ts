import type { IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';

import type { Api } from '../api/api';
import type { IChanged, IDetail, IRun, IRunNotebook } from '../api/types';
import { Live } from '../shared/live';
import type { ILedger, IRunsDelta, IRunsStore } from '../tokens';

const PAUSE = 300;

/**
 * What is known of one run, kept up to date while somebody looks at it. It asks about the project that the run was opened
 * from, also when another one has come to the front.
 */
export class DetailModel implements IDisposable {
  readonly detail: Live<IDetail>;
  /** The notebook as it was executed; asked for when it is first looked at, and again when the run ended. */
  readonly notebook: Live<IRunNotebook>;

  constructor(
    readonly ledger: ILedger,
    readonly api: Api,
    /** Names the project, as a path of Jupyter's contents. */
    readonly path: string,
    run: string
  ) {
    this.asked = run;
    this.detail = new Live(() => api.detail(this.run));
    this.notebook = new Live(() => api.notebook(this.run));
    this.detail.changed.connect(this.onDetail, this);
    ledger.runs.changed.connect(this.onRuns, this);
    ledger.told.connect(this.onTold, this);
    ledger.projectChanged.connect(this.later, this);
  }

  /** The run's id; while it has none yet, its journal's. */
  get run(): string {
    const known = this.detail.value?.run.run_id;
    return known ?? this.ledger.runs.byJournal(this.asked)?.run_id ?? this.asked;
  }

  /** Somebody began or ceased to look. */
  get watched(): boolean {
    return this.looked;
  }
  set watched(value: boolean) {
    if (value && !this.looked) {
      this.looked = true;
      if (this.stale) {
        void this.refresh();
      }
    }
    this.looked = value;
  }

  refresh(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.stale = false;
    return this.detail.refresh();
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  get isDisposed(): boolean {
    return this.disposed;
  }

  dispose(): void {
    if (!this.disposed) {
      this.disposed = true;
      clearTimeout(this.timer);
      this.detail.pause();
      this.notebook.pause();
      Signal.clearData(this);
    }
  }

  private readonly onDetail = (): void => {
    const now = this.detail.value?.run.status;
    if (this.status === 'RUNNING' && now !== 'RUNNING' && this.notebook.value) {
      void this.notebook.refresh();
    }
    this.status = now;
    this.signal.emit();
  };

  private readonly onRuns = (_: unknown, delta: IRunsDelta): void => {
    if (concerns(delta, this.run, this.ledger.runs)) {
      this.later();
    }
  };

  private readonly onTold = (_: unknown, { parts }: IChanged): void => {
    const elsewhere = parts.includes('runs') && !this.ledger.runs.get(this.run);
    if (parts.includes('models') || elsewhere) {
      this.later();
    }
  };

  /** Ask again soon, once for all that changes meanwhile; not before somebody looks. */
  private readonly later = (): void => {
    this.stale = true;
    if (this.looked && this.timer === undefined) {
      this.timer = setTimeout(() => void this.refresh(), PAUSE);
    }
  };

  private readonly asked: string;
  private readonly signal = new Signal<this, void>(this);
  private status: string | undefined;
  private looked = false;
  private stale = true;
  private disposed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
}

/** Whether a change of the table of runs is one of `run`, or of a run that its detail names. */
export function concerns(delta: IRunsDelta, run: string, store: Pick<IRunsStore, 'get'>): boolean {
  if (delta.changed === null || delta.removed.includes(run)) {
    return true;
  }
  return delta.changed.some(id => id === run || related(store.get(id), run));
}

function related(other: IRun | undefined, run: string): boolean {
  return (
    other !== undefined &&
    [
      other.tags['mlflow.parentRunId'],
      other.tags['nbledger.reproduces'],
      other.tags['nbledger.journal']
    ].includes(run)
  );
}
