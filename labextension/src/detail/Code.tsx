import { checkIcon, errorIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import type { ICell } from '../api/types';
import { isForeign } from '../runs/texts';
import { TextButton } from '../shared/parts';
import { Bdi, Clip, cut } from '../shared/text';
import { Chip, Part, Said, type IView } from './pieces';

const STEP = 100;
const LONGEST = 20_000;

export function Code(view: IView): ReactElement {
  const { detail, trans } = view;
  return (
    <>
      <Order {...view} />
      <Cells {...view} />
      <Part title={trans.__('Modules of the project')} count={detail.modules.length}>
        {detail.modules.length ? (
          <ul className="nbl-detail-chips">
            {detail.modules.slice(0, 500).map(name => (
              <li key={name}>
                <Chip text={name} />
              </li>
            ))}
          </ul>
        ) : (
          <Said>
            {isForeign(detail.run)
              ? trans.__('Not known: nbledger did not record this run.')
              : trans.__('The run imported no file of the project.')}
          </Said>
        )}
      </Part>
    </>
  );
}

/** Whether a fresh run from top to bottom would have had the same state. */
function Order({ detail, trans }: IView): ReactElement {
  const words: Readonly<Record<string, string>> = {
    clean: trans.__(
      'The cells that the run depends on ran in the order of the notebook, as they are written there.'
    ),
    'out-of-order': trans.__(
      'The run depends on cells that ran in another order than they stand in the notebook.'
    ),
    'edited-since': trans.__('The run depends on cells that were edited after they had run.')
  };
  const known = words[detail.order];
  const said = [...new Set([...(detail.order_detail ?? []), ...detail.hidden])];
  return (
    <Part
      title={trans.__('Order and hidden state')}
      action={
        detail.order ? (
          <Chip text={detail.order} mood={detail.order === 'clean' ? 'good' : 'warn'} />
        ) : null
      }
    >
      <Said>{known ?? trans.__('In which order the cells ran was not recorded.')}</Said>
      {said.length ? (
        <ul className="nbl-detail-warnings">
          {said.slice(0, 100).map((line, at) => (
            <li key={at}>
              <Bdi text={line} />
            </li>
          ))}
        </ul>
      ) : null}
    </Part>
  );
}

function Cells({ detail, trans }: IView): ReactElement {
  const [needed, setNeeded] = useState(false);
  const [limit, setLimit] = useState(STEP);
  const wanted = needed ? detail.cells.filter(cell => cell.needed) : detail.cells;
  const some = detail.cells.some(cell => cell.needed) && detail.cells.some(cell => !cell.needed);
  return (
    <Part
      title={trans.__('Cells in the order of their execution')}
      count={detail.cells.length}
      action={
        some ? (
          <label className="nbl-detail-switch">
            <input
              type="checkbox"
              checked={needed}
              onChange={event => {
                setNeeded(event.target.checked);
              }}
            />
            {trans.__('only what the run depends on')}
          </label>
        ) : null
      }
    >
      {detail.cells.length ? (
        <ol className="nbl-detail-cells">
          {wanted.slice(0, limit).map((cell, at) => (
            <Executed key={at} cell={cell} trans={trans} />
          ))}
        </ol>
      ) : (
        <Said>{trans.__('No cells were recorded.')}</Said>
      )}
      {wanted.length > limit ? (
        <TextButton
          kind="minimal"
          label={trans.__('Show more (%1 of %2 shown)', limit, wanted.length)}
          onClick={() => {
            setLimit(limit + STEP);
          }}
        />
      ) : null}
    </Part>
  );
}

function Executed({ cell, trans }: { cell: ICell; trans: IView['trans'] }): ReactElement {
  const Icon = cell.ok ? checkIcon : errorIcon;
  const said = cell.ok ? trans.__('ran') : trans.__('failed');
  return (
    <li className="nbl-detail-cell" data-needed={cell.needed}>
      <div className="nbl-detail-cell-head">
        <span className="nbl-detail-prompt">[{cell.execution_count ?? ' '}]</span>
        <span className="nbl-detail-status" data-status={cell.ok ? 'FINISHED' : 'FAILED'}>
          <Icon.react tag="span" aria-hidden="true" />
          {said}
        </span>
        {cell.needed ? (
          <Chip text={trans.__('needed')} title={trans.__('The run depends on this cell')} />
        ) : null}
        <Paths verb={trans.__('reads')} paths={cell.reads} />
        <Paths verb={trans.__('writes')} paths={cell.writes} />
      </div>
      <pre tabIndex={0} aria-label={trans.__('Source of cell %1', cell.execution_count ?? '')}>
        {cut(cell.source, LONGEST)}
      </pre>
    </li>
  );
}

function Paths({ verb, paths }: { verb: string; paths: readonly string[] }): ReactElement | null {
  return paths.length ? (
    <span className="nbl-detail-paths">
      {verb} <Clip text={paths.slice(0, 20).join(', ')} title={paths.slice(0, 40).join('\n')} />
    </span>
  ) : null;
}
