import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';

import type { Api } from '../api/api';
import { copied } from '../shared/copy';
import type { ILedger } from '../tokens';
import { address, asked } from './address';

/**
 * Open the runs in MLflow: a server's in a new tab; for an embedded store say how to start one. `elsewhere` are the routes
 * about the runs' project where it is not the one on screen.
 */
export async function openInMlflow(
  ledger: ILedger,
  names: readonly string[],
  elsewhere: Api | null
): Promise<void> {
  const { trans } = ledger;
  const found = elsewhere
    ? await ledger.attempt(() => asked(elsewhere, names))
    : { state: ledger.state.value, runs: names.flatMap(name => ledger.runs.get(name) ?? []) };
  if (!found?.state) {
    return;
  }
  const { tracking, root } = found.state;
  const page = address(tracking.uri, found.runs);
  if (page !== null) {
    window.open(page, '_blank', 'noopener,noreferrer');
    return;
  }
  const command = `mlflow ui --backend-store-uri ${quoted(tracking.uri)}`;
  const body = ReactWidget.create(
    <div className="nbl-mlflow">
      <p>
        {trans.__(
          'The runs are in a file of this project. This command, in a terminal, serves them to your browser:'
        )}
      </p>
      <pre>{command}</pre>
      <p className="nbl-quiet">{trans.__('Project: %1', root)}</p>
    </div>
  );
  const { button } = await showDialog({
    title: trans.__('Open in MLflow'),
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Close') }),
      Dialog.okButton({ label: trans.__('Copy the command') })
    ]
  });
  if (button.accept) {
    await copied(command);
  }
}

function quoted(text: string): string {
  return /^[\w:/.@+-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`;
}
