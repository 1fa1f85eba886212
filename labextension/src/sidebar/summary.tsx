import { ReactWidget } from '@jupyterlab/apputils';
import { refreshIcon } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import { badgeOf } from '../shared/badge';
import { useChanges } from '../shared/hooks';
import { IconButton } from '../shared/parts';
import { Bdi } from '../shared/text';
import type { ILedger } from '../tokens';

/** The one line on top of the sidebar: reproducible, or why not. */
export class Summary extends ReactWidget {
  constructor(
    private readonly ledger: ILedger,
    private readonly refresh: () => void
  ) {
    super();
    this.addClass('nbl-summary');
  }

  override render(): ReactElement {
    return <Verdict ledger={this.ledger} refresh={this.refresh} />;
  }
}

function Verdict({ ledger, refresh }: { ledger: ILedger; refresh: () => void }): ReactElement {
  useChanges(ledger.state.changed, ledger.unsaved.changed);
  const sum = badgeOf(ledger);
  return (
    <>
      <span className={`nbl-dot nbl-mod-${sum.kind}`} aria-hidden="true" />
      <span className="nbl-summary-text" role="status" title={sum.reasons.join('\n') || sum.text}>
        <Bdi text={sum.text} />
      </span>
      <IconButton icon={refreshIcon} label={ledger.trans.__('Look again')} onClick={refresh} />
    </>
  );
}
