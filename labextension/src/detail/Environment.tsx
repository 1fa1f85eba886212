import type { ReactElement } from 'react';

import { Clip } from '../shared/text';
import { Listing } from './Listing';
import { Pairs } from './Overview';
import { Chip, Part, Said, type IView } from './pieces';

export function Environment(view: IView): ReactElement {
  const { detail, trans } = view;
  const { environment, seeds } = detail;
  const machine = environment
    ? {
        [trans.__('Python')]: environment.python || trans.__('unknown'),
        [trans.__('platform')]: environment.platform || trans.__('unknown'),
        ...environment.hardware
      }
    : {};
  // The imported ones first: they are what a difference comes from.
  const packages = [...(environment?.packages ?? [])].sort(
    (a, b) => Number(b.imported) - Number(a.imported) || a.name.localeCompare(b.name)
  );
  return (
    <>
      <Part title={trans.__('Python and machine')}>
        {environment ? (
          <Pairs label={trans.__('Python and machine')} pairs={machine} view={view} />
        ) : (
          <Said>{trans.__('The environment was not recorded.')}</Said>
        )}
      </Part>
      <Part title={trans.__('Seeds')} count={Object.keys(seeds).length}>
        {Object.keys(seeds).length ? (
          <Pairs label={trans.__('Seeds')} pairs={seeds} view={view} />
        ) : (
          <Said>{trans.__('No seed is known.')}</Said>
        )}
      </Part>
      {environment ? (
        <Part title={trans.__('Packages')} count={packages.length}>
          {packages.length ? (
            <Listing
              label={trans.__('Packages')}
              rows={packages}
              id={one => one.name}
              words={one => `${one.name} ${one.version}`}
              trans={trans}
              columns={[
                { name: trans.__('package'), cell: one => <Clip text={one.name} /> },
                { name: trans.__('version'), cell: one => <Clip text={one.version} /> },
                {
                  name: trans.__('use'),
                  cell: one => (one.imported ? <Chip text={trans.__('imported')} /> : null)
                }
              ]}
            />
          ) : (
            <Said>{trans.__('No package was recorded.')}</Said>
          )}
        </Part>
      ) : null}
    </>
  );
}
