import { Notification } from '@jupyterlab/apputils';

import { Commands } from '../names';
import { bytes } from '../shared/format';
import { cut } from '../shared/text';
import type { ILedger } from '../tokens';

/** More at once are told together. */
const MOST = 3;

/**
 * Says once of each file that is too large for Git's history that DVC should version it. What a checkpoint does with them is
 * the checkpoint's own dialog.
 */
export class LargeFiles {
  constructor(
    private readonly ledger: ILedger,
    private readonly run: (command: string, args: { paths: string[] }) => void
  ) {
    ledger.state.changed.connect(() => {
      this.look();
    });
    ledger.projectChanged.connect(() => {
      this.withdraw(new Set());
    });
  }

  set enabled(on: boolean) {
    this.on = on;
    this.look();
  }

  private look(): void {
    const state = this.ledger.state.value;
    if (!state || !this.on) {
      return;
    }
    const { project } = state;
    const large = new Map(state.code.large.map(file => [`${project}\n${file.path}`, file]));
    this.withdraw(new Set(large.keys()));
    const fresh = [...large].filter(([key]) => !this.told.has(key));
    fresh.forEach(([key]) => this.told.add(key));
    if (fresh.length > MOST) {
      this.tell(
        fresh.map(([key]) => key),
        fresh.map(([, file]) => file)
      );
    } else {
      fresh.forEach(([key, file]) => {
        this.tell([key], [file]);
      });
    }
  }

  private tell(keys: readonly string[], files: readonly { path: string; size: number }[]): void {
    const { trans } = this.ledger;
    const [first] = files;
    if (!first) {
      return;
    }
    const what =
      files.length === 1
        ? trans.__('%1 (%2) is large for Git', cut(first.path, 200), bytes(first.size))
        : trans.__('%1 files are large for Git, among them %2', files.length, cut(first.path, 200));
    const id = Notification.warning(
      trans.__('%1. Tracked with DVC, its versions are kept beside Git.', what),
      {
        autoClose: false,
        actions: [
          {
            label: trans.__('Track with DVC'),
            displayType: 'accent',
            callback: () => {
              this.run(Commands.track, { paths: files.map(file => file.path) });
            }
          },
          { label: trans.__('Not now'), callback: () => undefined }
        ]
      }
    );
    keys.forEach(key => this.shown.set(key, id));
  }

  /** What is no longer there, or tracked by now, needs no notice any more. */
  private withdraw(still: ReadonlySet<string>): void {
    for (const [key, id] of this.shown) {
      if (!still.has(key)) {
        this.shown.delete(key);
        if (![...this.shown.values()].includes(id)) {
          Notification.dismiss(id);
        }
      }
    }
  }

  private readonly told = new Set<string>();
  private readonly shown = new Map<string, string>();
  private on = true;
}
