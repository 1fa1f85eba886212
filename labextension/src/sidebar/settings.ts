import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { Signal, type ISignal } from '@lumino/signaling';

import { NAME } from '../names';

/** The user's choices for the sidebar; the schema's defaults where there is no registry. */
export class Settings {
  openAtStart = false;
  statusBarBadge = true;
  mostListed = 100;

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  async follow(registry: ISettingRegistry): Promise<void> {
    try {
      const settings = await registry.load(`${NAME}:sidebar`);
      const apply = () => {
        this.openAtStart = settings.get('openAtStart').composite === true;
        this.statusBarBadge = settings.get('statusBarBadge').composite !== false;
        const most = settings.get('mostListed').composite;
        this.mostListed = typeof most === 'number' ? most : 100;
        this.signal.emit();
      };
      settings.changed.connect(apply);
      apply();
    } catch (reason) {
      console.warn('nbledger: settings could not be read, defaults are used', reason);
    }
  }

  private readonly signal = new Signal<this, void>(this);
}
