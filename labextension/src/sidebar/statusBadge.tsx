import { ReactWidget } from '@jupyterlab/apputils';
import type { ReactElement } from 'react';

import { badgeOf, type IBadge } from '../shared/badge';
import { useChanges } from '../shared/hooks';
import type { ILedger } from '../tokens';

/** The badge in the status bar; a click shows the sidebar. */
export class StatusBadge extends ReactWidget {
  constructor(
    private readonly ledger: ILedger,
    private readonly clicked: () => void
  ) {
    super();
    this.addClass('nbl-status');
    this.addClass('jp-mod-highlighted');
  }

  override render(): ReactElement {
    return <Badge ledger={this.ledger} show={this.clicked} />;
  }
}

function Badge({ ledger, show }: { ledger: ILedger; show: () => void }): ReactElement {
  useChanges(ledger.state.changed, ledger.unsaved.changed);
  const sum = badgeOf(ledger);
  return (
    <button type="button" className="nbl-status-button" title={title(sum)} onClick={show}>
      <span className={`nbl-dot nbl-mod-${sum.kind}`} aria-hidden="true" />
      <bdi className="nbl-clip">{short(sum)}</bdi>
    </button>
  );
}

/** `reproducible`, or `not yet: because …` as far as there is room. */
function short({ kind, label, reasons }: IBadge): string {
  return kind === 'not-yet' && reasons[0] ? `${label}: ${reasons[0].slice(0, 200)}` : label;
}

function title({ text, reasons }: IBadge): string {
  return (reasons.length > 1 ? reasons.slice(0, 20).join('\n') : text).slice(0, 2000);
}
