import type { ReactElement } from 'react';

import type { IRun } from '../api/types';
import { Commands } from '../names';
import { moment, number, span, time } from '../shared/format';
import { TextButton } from '../shared/parts';
import { Clip } from '../shared/text';
import { Listing } from './Listing';
import { Chip, Lead, Part, Said, Status, VerdictChip, type IView } from './pieces';

/** What came of a run: models, the runs within it, its reproductions. */
export function Related(view: IView): ReactElement {
  const { detail, trans } = view;
  return (
    <>
      <Models {...view} />
      <Part title={trans.__('Reproductions')} count={detail.reproductions.length}>
        {detail.reproductions.length ? (
          <Runs {...view} label={trans.__('Reproductions')} runs={detail.reproductions} verdicts />
        ) : (
          <Said>{trans.__('The run was not reproduced yet.')}</Said>
        )}
      </Part>
      <Part title={trans.__('Child runs')} count={detail.children.length}>
        {detail.children.length ? (
          <Runs {...view} label={trans.__('Child runs')} runs={detail.children} />
        ) : (
          <Said>{trans.__('No run was made within this one.')}</Said>
        )}
      </Part>
    </>
  );
}

function Models(view: IView): ReactElement {
  const { detail, trans, commands } = view;
  const registered = new Set(detail.models.map(version => version.name));
  return (
    <Part
      title={trans.__('Models made from it')}
      count={detail.models.length}
      action={
        detail.logged_models.length && !detail.deleted ? (
          <TextButton
            kind="minimal"
            label={trans.__('Promote…')}
            onClick={() => {
              void commands.execute(Commands.promote, {
                run: detail.run.run_id,
                path: view.model.path
              });
            }}
          />
        ) : null
      }
    >
      {detail.models.length ? (
        <Listing
          label={trans.__('Models made from it')}
          rows={detail.models}
          id={version => `${version.name}/${version.version}`}
          trans={trans}
          columns={[
            {
              name: trans.__('model'),
              cell: version => (
                <Lead
                  text={version.name}
                  onClick={() => {
                    void commands.execute(Commands.openModels, {
                      model: version.name,
                      version: version.version
                    });
                  }}
                />
              )
            },
            { name: trans.__('version'), cell: version => <Clip text={version.version} /> },
            {
              name: trans.__('aliases'),
              cell: version => version.aliases.map(alias => <Chip key={alias} text={`@${alias}`} />)
            },
            {
              name: trans.__('registered'),
              cell: version => <When at={version.created} />
            }
          ]}
        />
      ) : (
        <Said>
          {detail.logged_models.length
            ? trans.__('The run logged a model, which is not registered yet.')
            : trans.__('The run logged no model.')}
        </Said>
      )}
      {detail.logged_models.length ? (
        <p className="nbl-detail-said">
          {trans.__('Logged:')}{' '}
          {detail.logged_models.slice(0, 50).map(name => (
            <Chip key={name} text={name} mood={registered.has(name) ? 'good' : 'plain'} />
          ))}
        </p>
      ) : null}
    </Part>
  );
}

function Runs(
  view: IView & { label: string; runs: readonly IRun[]; verdicts?: boolean }
): ReactElement {
  const { trans, commands } = view;
  return (
    <Listing
      label={view.label}
      rows={view.runs}
      id={run => run.run_id}
      words={run => `${run.name} ${run.status}`}
      trans={trans}
      columns={[
        {
          name: trans.__('run'),
          cell: run => (
            <Lead
              text={run.name || run.run_id}
              onClick={() => {
                void commands.execute(Commands.openRun, {
                  run: run.run_id,
                  path: view.model.path
                });
              }}
            />
          )
        },
        {
          name: view.verdicts ? trans.__('verdict') : trans.__('status'),
          cell: run => {
            const verdict = run.tags['nbledger.verdict'];
            return view.verdicts && verdict ? (
              <VerdictChip verdict={verdict} trans={trans} />
            ) : (
              <Status status={run.status} trans={trans} />
            );
          }
        },
        { name: trans.__('started'), cell: run => <When at={run.start} /> },
        { name: trans.__('took'), number: true, cell: run => span(run.start, run.end) },
        {
          name: trans.__('metrics'),
          cell: run => (
            <Clip
              text={Object.entries(run.metrics)
                .slice(0, 3)
                .map(([name, value]) => `${name} ${number(value)}`)
                .join(', ')}
            />
          )
        }
      ]}
    />
  );
}

function When({ at }: { at: string | null }): ReactElement {
  return <span title={moment(at)}>{time(at)}</span>;
}
