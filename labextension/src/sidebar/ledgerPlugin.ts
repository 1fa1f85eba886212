import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Api } from '../api/api';
import type { IProblem } from '../api/types';
import { NAME } from '../names';
import { ILedger } from '../tokens';
import { EventFeed } from './feed';
import { Ledger } from './ledger';
import { Screen } from './screen';
import { Unsaved } from './unsaved';

/** What everything else of the front end stands on. */
export const ledgerPlugin: JupyterFrontEndPlugin<ILedger> = {
  id: `${NAME}:ledger`,
  description: 'The state and the runs of the project on screen.',
  autoStart: true,
  provides: ILedger,
  optional: [ITranslator, IDocumentManager, INotebookTracker, IDefaultFileBrowser],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    documents: IDocumentManager | null,
    notebooks: INotebookTracker | null,
    files: IDefaultFileBrowser | null
  ): ILedger => {
    const { serverSettings, contents } = app.serviceManager;
    const ledger = new Ledger({
      api: path => new Api(serverSettings, path),
      feed: new EventFeed(serverSettings),
      trans: (translator ?? nullTranslator).load(NAME),
      complain
    });
    if (documents) {
      const unsaved = new Unsaved(app.shell, documents, path => ledger.projectPath(path));
      ledger.unsaved = unsaved;
      ledger.state.changed.connect(unsaved.look); // the project, and with it what belongs to it, may be another one
    }
    const screen = new Screen({
      shell: app.shell,
      contents,
      documents,
      notebooks,
      files,
      folder: path => {
        ledger.show(path);
      },
      notebook: path => {
        ledger.showNotebook(path);
      }
    });
    followVisibility(ledger);
    void app.restored.then(() => {
      screen.start();
    });
    return ledger;
  }
};

/** Nothing is asked while the page is hidden; what was missed is asked for when it is shown. */
function followVisibility(ledger: Ledger): void {
  const follow = () => {
    if (document.hidden) {
      ledger.pause();
    } else {
      ledger.resume();
    }
  };
  document.addEventListener('visibilitychange', follow);
  if (document.hidden) {
    ledger.pause();
  }
}

function complain(problem: IProblem): void {
  const text = problem.hint ? `${problem.error}\n${problem.hint}` : problem.error;
  Notification.error(text, { autoClose: false });
}
