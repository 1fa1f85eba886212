import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import { Signal, type ISignal } from '@lumino/signaling';
import { Panel } from '@lumino/widgets';
import type { ReactElement } from 'react';

import { useChanges } from '../shared/hooks';
import { Busy, Problem } from '../shared/parts';
import type { RunActions } from './actions';
import { Artifacts } from './Artifacts';
import { Code } from './Code';
import { Data } from './Data';
import { Environment } from './Environment';
import { Head } from './Head';
import type { DetailModel } from './model';
import { NotebookView } from './NotebookView';
import { Overview } from './Overview';
import type { IView } from './pieces';
import type { ILent } from './recorded';
import { Related } from './Related';
import type { Reproductions } from './reproductions';
import { panelId, Tabs, type Tab } from './Tabs';

const PARTS: Readonly<Record<Exclude<Tab, 'notebook'>, (view: IView) => ReactElement>> = {
  overview: Overview,
  data: Data,
  code: Code,
  environment: Environment,
  artifacts: Artifacts,
  related: Related
};

export interface IRunPanelOptions {
  readonly model: DetailModel;
  readonly commands: CommandRegistry;
  readonly actions: RunActions;
  readonly reproductions: Reproductions;
  readonly lent: ILent;
  readonly openNotebook: (path: string) => void;
  readonly tab: Tab;
}

let serial = 0;

/** Everything recorded of one run: a heading, and a page a kind. */
export class RunPanel extends Panel {
  readonly model: DetailModel;

  constructor(readonly options: IRunPanelOptions) {
    super();
    this.model = options.model;
    this.current = options.tab;
    this.prefix = `nbl-run-${(serial += 1)}`;
    this.addClass('nbl-detail');
    this.top = ReactWidget.create(<Top panel={this} />);
    this.body = ReactWidget.create(<Body panel={this} />);
    this.notebook = new NotebookView(options.model, options.lent);
    this.top.addClass('nbl-detail-top');
    this.body.addClass('nbl-detail-body');
    for (const [widget, tab] of [
      [this.body, 'overview'],
      [this.notebook, 'notebook']
    ] as const) {
      widget.node.setAttribute('role', 'tabpanel');
      widget.node.id = panelId(this.prefix, tab);
    }
    this.node.tabIndex = -1;
    this.body.node.tabIndex = 0;
    [this.top, this.body, this.notebook].forEach(widget => {
      this.addWidget(widget);
    });
    this.arrange();
  }

  readonly prefix: string;

  get tab(): Tab {
    return this.current;
  }

  choose(tab: Tab): void {
    if (tab === this.current) {
      return;
    }
    this.places.set(this.current, this.body.node.scrollTop);
    this.current = tab;
    this.arrange();
    this.signal.emit();
    requestAnimationFrame(() => {
      this.body.node.scrollTop = this.places.get(tab) ?? 0;
    });
  }

  get tabChanged(): ISignal<this, void> {
    return this.signal;
  }

  override dispose(): void {
    this.model.dispose();
    super.dispose();
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.model.watched = true;
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this.model.watched = this.isVisible;
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.model.watched = false;
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    const tab = this.top.node.querySelector<HTMLElement>('[role="tab"][aria-selected="true"]');
    (tab ?? this.node).focus();
  }

  private arrange(): void {
    const notebook = this.current === 'notebook';
    this.body.setHidden(notebook);
    this.notebook.setHidden(!notebook);
    const label = `${this.prefix}-tab-${this.current}`;
    (notebook ? this.notebook : this.body).node.setAttribute('aria-labelledby', label);
  }

  private current: Tab;
  private readonly top: ReactWidget;
  private readonly body: ReactWidget;
  private readonly notebook: NotebookView;
  private readonly places = new Map<Tab, number>();
  private readonly signal = new Signal<this, void>(this);
}

function Top({ panel }: { panel: RunPanel }): ReactElement {
  const { model, options } = panel;
  useChanges(model.changed, panel.tabChanged);
  const detail = model.detail.value;
  const { trans } = model.ledger;
  if (!detail) {
    return <></>;
  }
  return (
    <>
      <Head {...options} detail={detail} trans={trans} />
      <Tabs
        id={panel.prefix}
        current={panel.tab}
        counts={{
          data: detail.inputs.length + detail.outputs.length,
          code: detail.cells.length,
          artifacts: detail.artifacts.filter(artifact => !artifact.folder).length,
          related: detail.models.length + detail.children.length + detail.reproductions.length
        }}
        choose={tab => {
          panel.choose(tab);
        }}
        trans={trans}
      />
    </>
  );
}

function Body({ panel }: { panel: RunPanel }): ReactElement {
  const { model, options } = panel;
  useChanges(model.changed, panel.tabChanged);
  const { value, problem } = model.detail;
  const { trans } = model.ledger;
  if (!value) {
    return problem ? (
      <Problem problem={problem} trans={trans} retry={() => void model.refresh()} />
    ) : (
      <Busy text={trans.__('Fetching the run…')} />
    );
  }
  if (panel.tab === 'notebook') {
    return <></>;
  }
  const Shown = PARTS[panel.tab];
  return <Shown detail={value} model={model} commands={options.commands} trans={trans} />;
}
