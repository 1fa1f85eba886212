import { ReactWidget, refreshIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import { useCallback, useState, type ReactElement } from 'react';

import { Commands, Ids } from '../names';
import { useChanges } from '../shared/hooks';
import { ledgerIcon } from '../shared/icons';
import { IconButton, TextButton } from '../shared/parts';
import { useWidth } from '../shared/charts/width';
import { ColumnChooser } from './ColumnChooser';
import { FilterBox } from './FilterBox';
import { useModel } from './hooks';
import { openHeaderMenu, openRunMenu } from './menus';
import type { RunsModel } from './model/model';
import { Notice, Nothing } from './Nothing';
import { ScopeSwitch } from './ScopeSwitch';
import { roomIn, Table } from './table/Table';
import { summary } from './texts';

export interface IRunsProps {
  readonly model: RunsModel;
  readonly commands: CommandRegistry;
}

/** The tab with the whole table of runs. */
export class RunsPanel extends ReactWidget {
  constructor(private readonly props: IRunsProps) {
    super();
    const { trans } = props.model.ledger;
    this.id = Ids.runsTable;
    this.addClass('nbl-runs');
    this.title.label = trans.__('Runs');
    this.title.caption = trans.__('Runs of the project');
    this.title.icon = ledgerIcon;
    this.title.closable = true;
  }

  protected override render(): ReactElement {
    return <Runs {...this.props} />;
  }

  protected override onCloseRequest(msg: Message): void {
    super.onCloseRequest(msg);
    this.dispose();
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    const grid = this.node.querySelector<HTMLElement>('.nbl-grid');
    (grid ?? this.node).focus();
  }
}

function Runs({ model, commands }: IRunsProps): ReactElement {
  useModel(model);
  useChanges(model.ledger.state.changed);
  const { trans } = model.ledger;
  const open = useCallback(
    (run: string) => {
      void commands.execute(Commands.openRun, { run });
    },
    [commands]
  );
  const some = model.answer.rows.length > 0;
  return (
    <>
      <Toolbar model={model} commands={commands} />
      <Notice model={model} trans={trans} />
      {some ? (
        <Table
          model={model}
          trans={trans}
          onOpen={open}
          onRunMenu={(run, point) => {
            openRunMenu(commands, model, run, point);
          }}
          onHeaderMenu={(column, room, point) => {
            openHeaderMenu(model, column, room, point, trans);
          }}
        />
      ) : (
        <div className="nbl-nothing">
          <Nothing commands={commands} model={model} trans={trans} />
        </div>
      )}
      <div className="nbl-runs-foot" role="status">
        {some || model.narrowed ? summary(model, trans) : ''}
      </div>
    </>
  );
}

function Toolbar({ model, commands }: IRunsProps): ReactElement {
  const { trans } = model.ledger;
  const [place, width] = useWidth<HTMLDivElement>(900);
  const [choosing, setChoosing] = useState(false);
  const close = useCallback(() => {
    setChoosing(false);
  }, []);
  const { selected } = model;
  return (
    <div className="nbl-runs-bar" ref={place} role="toolbar" aria-label={trans.__('Runs')}>
      <FilterBox model={model} trans={trans} />
      <ScopeSwitch model={model} trans={trans} />
      <span className="nbl-anchor">
        <button
          type="button"
          className="nbl-button"
          aria-expanded={choosing}
          aria-haspopup="dialog"
          onClick={() => {
            setChoosing(!choosing);
          }}
          onPointerDownCapture={event => {
            if (choosing) {
              event.stopPropagation();
            }
          }}
        >
          {trans.__('Columns')}
        </button>
        {choosing && (
          <ColumnChooser model={model} room={roomIn(width)} trans={trans} onClose={close} />
        )}
      </span>
      <CompareButton selected={selected} commands={commands} model={model} />
      <IconButton
        icon={refreshIcon}
        label={trans.__('Refresh')}
        onClick={() => {
          void model.ledger.runs.refresh();
        }}
      />
    </div>
  );
}

export function CompareButton({
  selected,
  commands,
  model
}: IRunsProps & { readonly selected: readonly string[] }): ReactElement {
  const { trans } = model.ledger;
  const now = selected.length === 1;
  return (
    <TextButton
      kind={selected.length > 0 ? 'accept' : 'plain'}
      label={
        now
          ? trans.__('Compare with now')
          : selected.length > 1
            ? trans.__('Compare %1', selected.length)
            : trans.__('Compare')
      }
      title={
        selected.length
          ? trans.__('Show how these differ, and why')
          : trans.__('Select two runs or more to compare them')
      }
      disabled={selected.length === 0 || selected.length > MOST_COMPARED}
      onClick={() => {
        void commands.execute(Commands.compare, { runs: now ? [...selected, '.'] : [...selected] });
      }}
    />
  );
}

const MOST_COMPARED = 50;
