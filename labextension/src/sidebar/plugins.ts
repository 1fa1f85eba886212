import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { ledgerPlugin } from './ledgerPlugin';
import { sidebarPlugin } from './sidebarPlugin';

export const plugins: JupyterFrontEndPlugin<unknown>[] = [ledgerPlugin, sidebarPlugin];
