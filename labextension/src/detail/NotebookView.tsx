import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Panel, type Widget } from '@lumino/widgets';
import type { ReactElement } from 'react';

import type { IRunNotebook } from '../api/types';
import { useLive } from '../shared/hooks';
import { Busy, Empty, Problem } from '../shared/parts';
import { Bdi, Clip } from '../shared/text';
import type { DetailModel } from './model';
import { recordedNotebook, type ILent } from './recorded';
import { safeNotebook, type ISafe } from './safe';

/** The notebook as it was executed; fetched and drawn when it is first looked at. */
export class NotebookView extends Panel {
  constructor(
    private readonly model: DetailModel,
    private readonly lent: ILent
  ) {
    super();
    this.addClass('nbl-detail-notebook');
    this.addWidget(ReactWidget.create(<About view={this} model={model} />));
    model.notebook.changed.connect(this.draw, this);
  }

  safe: ISafe | null = null;

  override dispose(): void {
    this.model.notebook.changed.disconnect(this.draw, this);
    super.dispose();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    const { value, loading } = this.model.notebook;
    if (!value && !loading) {
      void this.model.notebook.refresh();
    }
  }

  private readonly draw = (): void => {
    const { value } = this.model.notebook;
    if (value === this.drawn || !value) {
      return;
    }
    this.drawn = value;
    this.shown?.dispose();
    this.shown = null;
    this.safe = safeNotebook(value.notebook);
    if (this.safe) {
      const label = this.model.ledger.trans.__('The notebook as it was executed');
      this.shown = recordedNotebook(this.safe, this.lent, label);
      this.addWidget(this.shown);
    }
  };

  private drawn: IRunNotebook | null = null;
  private shown: Widget | null = null;
}

function About({ view, model }: { view: NotebookView; model: DetailModel }): ReactElement {
  const { value, problem, loading } = useLive(model.notebook);
  const { trans } = model.ledger;
  if (!value) {
    return problem ? (
      <Problem problem={problem} trans={trans} retry={() => void model.notebook.refresh()} />
    ) : loading ? (
      <Busy text={trans.__('Fetching the notebook…')} />
    ) : (
      <></>
    );
  }
  const safe = safeNotebook(value.notebook);
  const words: Readonly<Record<IRunNotebook['kind'], string>> = {
    executed: trans.__('The notebook as it was executed:'),
    session: trans.__('What the kernel had executed:'),
    snapshot: trans.__('The notebook as the commit of the run holds it:')
  };
  if (!safe) {
    return <Empty text={trans.__('What was recorded is not a notebook.')} />;
  }
  return (
    <div className="nbl-detail-about">
      <span>{words[value.kind]} </span>
      <Clip text={value.name} />
      {value.note ? (
        <span className="nbl-detail-aside">
          <Bdi text={value.note} />
        </span>
      ) : null}
      <span className="nbl-detail-aside">
        {trans.__('Read-only. Nothing in it is executed, no picture is loaded from elsewhere.')}
        {safe.left ? ` ${trans.__('%1 more cells are not shown.', safe.left)}` : ''}
        {safe.cut
          ? ` ${trans._n('%1 long source or output is cut.', '%1 long sources or outputs are cut.', safe.cut)}`
          : ''}
      </span>
      {view.safe?.cells === 0 ? <p>{trans.__('It has no cells.')}</p> : null}
    </div>
  );
}
