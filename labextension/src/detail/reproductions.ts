import { Signal, type ISignal } from '@lumino/signaling';

import type { Api, Body } from '../api/api';
import type { IJob } from '../api/types';
import type { ILedger } from '../tokens';
import { isRecord } from './safe';

/** What a reproduction concluded, as `nbledger reproduce --json` says it; of which this is what is shown. */
export interface IConclusion {
  /** Null when the run was only restored. */
  readonly verdict: string | null;
  /** The folder, if it is still there. */
  readonly into: string | null;
  readonly again: string | null;
  readonly equal: number;
  readonly metrics: number;
  /** What is missing, what differs, and what to know. */
  readonly lines: readonly string[];
}

/** The reproductions that were started here, by the run that is reproduced. */
export class Reproductions {
  constructor(
    private readonly ledger: ILedger,
    /** Does the work; where it needs the person's trust, asks for it first. */
    private readonly trusting: (
      api: Api,
      work: (words: Body) => Promise<IJob>
    ) => Promise<IJob | null> = (_, work) => work({})
  ) {
    ledger.jobs.changed.connect(this.look, this);
  }

  /** The argument is the run. */
  get changed(): ISignal<this, string> {
    return this.signal;
  }

  of(run: string): IJob | null {
    return this.followed.get(run)?.job ?? null;
  }

  async start(api: Api, run: string, words: Body): Promise<IJob | null> {
    const begin = (trust: Body) => api.start('reproduce', { run, ...words, ...trust });
    const job = await this.ledger.attempt(() => this.trusting(api, begin));
    if (job) {
      this.followed.set(run, { job, api });
      this.signal.emit(run);
      this.look();
    }
    return job;
  }

  async stop(run: string): Promise<void> {
    const known = this.followed.get(run);
    if (known) {
      await this.ledger.attempt(() => known.api.stop(known.job.id));
    }
  }

  /** It was read: show it no more. */
  dismiss(run: string): void {
    this.followed.delete(run);
    this.signal.emit(run);
  }

  private readonly look = (): void => {
    for (const [run, { job, api }] of this.followed) {
      const now = this.ledger.jobs.value?.find(other => other.id === job.id);
      if (now && now !== job) {
        this.followed.set(run, { job: now, api });
        this.signal.emit(run);
      }
    }
  };

  private readonly followed = new Map<string, { readonly job: IJob; readonly api: Api }>();
  private readonly signal = new Signal<this, string>(this);
}

export function conclusion(result: unknown): IConclusion | null {
  if (!isRecord(result)) {
    return null;
  }
  const metrics = isRecord(result.metrics) ? Object.values(result.metrics).filter(isRecord) : [];
  return {
    verdict: text(result.verdict),
    into: result.kept === false ? null : text(result.into),
    again: text(result.new_run_id),
    equal: metrics.filter(metric => metric.equal === true).length,
    metrics: metrics.length,
    lines: [
      ...all(result.missing).map(one => said(one, ['what', 'why', 'hint'])),
      ...all(result.causes).map(one => said(one, ['what', 'evidence'])),
      ...all(result.environment).map(one => text(one) ?? ''),
      ...all(result.notes).map(one => text(one) ?? '')
    ].filter(Boolean)
  };
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value ? value : null;
}

function said(one: unknown, keys: readonly string[]): string {
  return isRecord(one) ? keys.flatMap(key => text(one[key]) ?? []).join(': ') : (text(one) ?? '');
}

function all(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
