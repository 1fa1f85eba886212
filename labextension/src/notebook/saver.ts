import { isTracked } from './tracked';

/** How long a cell waits for the notebook to be saved before it runs all the same. */
export const PATIENCE_MS = 5000;

/** The part of a notebook's document context that saving needs. */
export interface ISavable {
  readonly model: { readonly dirty: boolean };
  readonly contentsModel: { readonly writable?: boolean } | null;
  save(): Promise<void>;
}

/** What the saver needs to know and to say. */
export interface ISaverOptions<K> {
  /** The document of a notebook's model, or undefined when it is not open in a document. */
  find(key: K): ISavable | undefined;
  /** One line for the person. */
  warn(message: string): void;
  patience?: number;
}

/** Saves a notebook before cells that are recorded run, so that the record holds what is on screen. */
export class Saver<K> {
  constructor(private readonly options: ISaverOptions<K>) {}

  /** Switched by the setting `saveBeforeTrackedRun`. */
  enabled = true;

  /** Save the notebook if one of `sources` is tracked and there is something to save; null if there is not. */
  prepare(key: K, sources: readonly string[]): Promise<void> | null {
    if (!this.enabled || !sources.some(isTracked)) {
      return null;
    }
    const context = this.options.find(key);
    if (!context?.model.dirty || context.contentsModel?.writable === false) {
      return null;
    }
    return this.save(context);
  }

  private async save(context: ISavable): Promise<void> {
    const patience = this.options.patience ?? PATIENCE_MS;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<string>(resolve => {
      timer = setTimeout(() => {
        resolve(`not saved within ${patience / 1000} s`);
      }, patience);
    });
    const saved = context.save().then(
      () => '',
      (reason: unknown) => (reason instanceof Error ? reason.message : String(reason))
    );
    const problem = await Promise.race([saved, late]);
    clearTimeout(timer);
    if (problem) {
      this.options.warn(
        `nbledger: the notebook could not be saved before the run (${problem}); the cell runs, ` +
          'its snapshot holds the notebook as last saved.'
      );
    }
  }
}
