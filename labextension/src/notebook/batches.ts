/**
 * Cells of one notebook, run in batches.
 *
 * JupyterLab asks for all cells of a "Run All" in one go and lets the kernel drop the rest when one raises. That
 * only holds while they are sent together and in order: waiting for a save in front of one cell alone would let the
 * cells behind it overtake, or arrive after the failure that should have cancelled them. So cells asked for
 * together wait together.
 */

/** A cell to run: what `prepare` looks at, and the call that sends it to the kernel. */
export interface IRequest {
  readonly source: string;
  send(): Promise<boolean>;
}

/** What has to happen before a batch is sent; null when nothing has to, and then nothing is waited for. */
export type Prepare<K> = (key: K, sources: readonly string[]) => Promise<void> | null;

interface IWaiting extends IRequest {
  resolve(result: boolean | PromiseLike<boolean>): void;
}

/** One queue of requests per key (a notebook's model). */
export class Batches<K extends object> {
  constructor(private readonly prepare: Prepare<K>) {}

  /** Run `request` after what was asked for before it, together with what is asked for in the same turn. */
  run(key: K, request: IRequest): Promise<boolean> {
    return new Promise(resolve => {
      const batch = this.open.get(key);
      if (batch) {
        batch.push({ ...request, resolve });
        return;
      }
      const fresh: IWaiting[] = [{ ...request, resolve }];
      this.open.set(key, fresh);
      queueMicrotask(() => {
        this.open.delete(key);
        this.flush(key, fresh);
      });
    });
  }

  private flush(key: K, batch: readonly IWaiting[]): void {
    const before = this.pending.get(key);
    const own = this.prepared(key, batch);
    const gate = before && own ? Promise.all([before, own]) : (before ?? own);
    if (!gate) {
      sendAll(batch);
      return;
    }
    const sent = gate.then(() => {
      if (this.pending.get(key) === sent) {
        this.pending.delete(key);
      }
      sendAll(batch);
    });
    this.pending.set(key, sent);
  }

  /** The preparation of a batch, as a promise that never rejects: the cells come first. */
  private prepared(key: K, batch: readonly IWaiting[]): Promise<void> | null {
    try {
      const sources = batch.map(request => request.source);
      return this.prepare(key, sources)?.catch(logged) ?? null;
    } catch (reason) {
      logged(reason);
      return null;
    }
  }

  private readonly open = new WeakMap<K, IWaiting[]>();
  private readonly pending = new WeakMap<K, Promise<void>>();
}

function sendAll(batch: readonly IWaiting[]): void {
  for (const request of batch) {
    // An async function, so that a call that throws rejects its own cell and not the ones behind it.
    request.resolve((async () => request.send())());
  }
}

function logged(reason: unknown): void {
  console.warn('nbledger: could not prepare for a tracked run', reason);
}
