import { checkIcon, notebookIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import { NoRepository, useNoRepository } from '../models/parts';
import { Commands } from '../names';
import { useLive } from '../shared/hooks';
import { Busy, IconButton, Problem, TextButton } from '../shared/parts';
import { Clip } from '../shared/text';
import { staleWord } from './Canvas';
import { inOrder } from './graph';
import { NoPipeline, openCells, Problems, type IPipelineView } from './PipelinePage';

const MOST = 100;

/** The stages in the sidebar, in the order in which they would run; what is stale says why. */
export function PipelineSection(view: IPipelineView): ReactElement {
  const { value, problem } = useLive(view.pipeline);
  const nothing = useNoRepository(view.ledger);
  const { trans } = view.ledger;
  if (nothing) {
    return <NoRepository ledger={view.ledger} commands={view.commands} />;
  }
  if (!value) {
    return problem ? (
      <Problem problem={problem} trans={trans} retry={() => void view.pipeline.refresh()} />
    ) : (
      <Busy text={trans.__('Looking at the pipeline…')} />
    );
  }
  const stages = inOrder(value);
  const open = (stage?: string) => {
    void view.commands.execute(Commands.openPipeline, stage === undefined ? {} : { stage });
  };
  return (
    <>
      {problem ? <Problem problem={problem} trans={trans} /> : null}
      <Problems pipeline={value} view={view} />
      {stages.length ? null : <NoPipeline view={view} />}
      <ul className="nbl-side-list">
        {stages.slice(0, MOST).map(stage => {
          const waits = stage.stale || stage.may_run;
          const Icon = waits ? refreshIcon : checkIcon;
          return (
            <li key={stage.id} className="nbl-side-item">
              <button
                type="button"
                className="nbl-side-row"
                data-stale={stage.stale}
                onClick={() => {
                  open(stage.id);
                }}
              >
                <span className="nbl-side-name">
                  <Icon.react tag="span" className="nbl-side-icon" aria-hidden="true" />
                  <Clip text={stage.label} />
                  <span className="nbl-detail-count">
                    {waits ? staleWord(stage, trans) : trans.__('up to date')}
                  </span>
                </span>
                {waits && stage.why.length ? (
                  <span className="nbl-side-why">
                    <Clip text={stage.why.join('; ')} />
                  </span>
                ) : null}
              </button>
              {stage.notebook ? (
                <IconButton
                  icon={notebookIcon}
                  label={trans.__('Open %1 at the code of %2', stage.notebook, stage.label)}
                  onClick={() => {
                    openCells(view, stage);
                  }}
                />
              ) : null}
            </li>
          );
        })}
      </ul>
      {stages.length ? (
        <div className="nbl-side-foot">
          {stages.length > MOST ? (
            <span>{trans.__('… and %1 more', stages.length - MOST)}</span>
          ) : null}
          <TextButton
            kind="minimal"
            label={trans.__('Open the graph')}
            onClick={() => {
              open();
            }}
          />
        </div>
      ) : null}
    </>
  );
}
