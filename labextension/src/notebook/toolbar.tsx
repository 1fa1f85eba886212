import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import { badgeOf } from '../shared/badge';
import { useChanges } from '../shared/hooks';
import type { ILedger } from '../tokens';

/** The badge in a notebook's toolbar; a click shows the sidebar. */
export class ToolbarBadge extends ReactWidget {
  constructor(
    private readonly ledger: ILedger,
    private readonly clicked: () => void
  ) {
    super();
    this.addClass('nbl-ToolbarBadge');
  }

  override render(): ReactElement {
    return <Badge ledger={this.ledger} show={this.clicked} />;
  }
}

function Badge({ ledger, show }: { ledger: ILedger; show: () => void }): ReactElement {
  useChanges(ledger.state.changed, ledger.unsaved.changed);
  const { kind, label, text, reasons } = badgeOf(ledger);
  const title = [text, ...(reasons.length > 1 ? reasons.slice(0, 20) : [])].join('\n');
  return (
    <button
      type="button"
      className="nbl-ToolbarBadge-button"
      title={title.slice(0, 2000)}
      aria-label={`nbledger: ${label}`}
      onClick={show}
    >
      <span className={`nbl-dot nbl-mod-${kind}`} aria-hidden="true" />
      <span>{label}</span>
    </button>
  );
}
