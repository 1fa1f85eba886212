import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';

import type { IRun } from '../api/types';
import { copied } from '../shared/copy';
import type { ILedger } from '../tokens';

/** Where MLflow's own pages show these runs; null where the store is a file, which has no server of its own. */
export function address(uri: string, runs: readonly IRun[]): string | null {
  if (!/^https?:\/\//i.test(uri)) {
    return null;
  }
  const base = uri.replace(/\/+$/, '');
  const [first] = runs;
  if (!first) {
    return base;
  }
  if (runs.length === 1) {
    return `${base}/#/experiments/${encodeURIComponent(first.experiment_id)}/runs/${encodeURIComponent(first.run_id)}`;
  }
  const ids = encodeURIComponent(JSON.stringify(runs.map(run => run.run_id)));
  const experiments = encodeURIComponent(
    JSON.stringify([...new Set(runs.map(run => run.experiment_id))])
  );
  return `${base}/#/compare-runs?runs=${ids}&experiments=${experiments}`;
}

/** Open the runs in MLflow: a server's in a new tab; for an embedded store say how to start one. */
export async function openInMlflow(ledger: ILedger, names: readonly string[]): Promise<void> {
  const { trans } = ledger;
  const { tracking, root } = ledger.state.value ?? {};
  if (!tracking) {
    return;
  }
  const runs = names.flatMap(name => ledger.runs.get(name) ?? []);
  const page = address(tracking.uri, runs);
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
      <p className="nbl-quiet">{trans.__('Project: %1', root ?? '')}</p>
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
