import { EventManager, ServerConnection, type Event } from '@jupyterlab/services';
import { Signal, type ISignal } from '@lumino/signaling';

import type { IChanged } from '../api/types';

/** What the server says by itself. */
export interface IFeed {
  readonly changed: ISignal<unknown, IChanged>;
  /** Connected (again): what happened in between was missed. */
  readonly connected: ISignal<unknown, void>;
  open(): void;
  close(): void;
}

/**
 * Jupyter Server's event bus. JupyterLab's own subscription comes back silently after a break and cannot be paused; what is
 * shown must catch up then, so this is a subscription of our own that tells, and that is closed while nobody looks.
 */
export class EventFeed implements IFeed {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  get changed(): ISignal<this, IChanged> {
    return this.changedSignal;
  }

  get connected(): ISignal<this, void> {
    return this.connectedSignal;
  }

  open(): void {
    if (!this.manager) {
      this.manager = new EventManager({ serverSettings: this.observed(), standby: 'never' });
      this.manager.stream.connect((_, event) => {
        this.received(event);
      });
    }
  }

  close(): void {
    this.manager?.dispose();
    this.manager = null;
  }

  private received(event: Event.Emission): void {
    const changed = changedOf(event);
    if (changed) {
      this.changedSignal.emit(changed);
    }
  }

  private observed(): ServerConnection.ISettings {
    const tell = () => {
      this.connectedSignal.emit();
    };
    class Observed extends this.settings.WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        this.addEventListener('open', tell);
      }
    }
    return { ...this.settings, WebSocket: Observed };
  }

  private manager: EventManager | null = null;
  private readonly changedSignal = new Signal<this, IChanged>(this);
  private readonly connectedSignal = new Signal<this, void>(this);
}

/** The bus carries the events of everyone; ours, or null. */
export function changedOf(event: Readonly<Record<string, unknown>>): IChanged | null {
  const { schema_id: schema, project, parts, version } = event;
  const ours = typeof schema === 'string' && /\bnbledger\b/.test(schema);
  if (!ours || typeof project !== 'string' || !Array.isArray(parts)) {
    return null;
  }
  return {
    project,
    parts: parts as IChanged['parts'],
    version: typeof version === 'number' ? version : 0
  };
}
