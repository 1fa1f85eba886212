import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IState } from '../api/types';
import { Commands } from '../names';
import { branchIcon } from '../shared/icons';
import { TextButton } from '../shared/parts';
import { Clip } from '../shared/text';
import { verb, type IHands } from './hands';
import { branch } from './stateModel';

/** The branch, how far it is from its remote, and push or pull where there is something to. */
export function Branch({
  state,
  trans,
  hands
}: {
  state: IState;
  trans: TranslationBundle;
  hands: IHands;
}): ReactElement {
  const { name, ahead, behind, title, deed } = branch(state, trans);
  return (
    <div className="nbl-line nbl-branch">
      <branchIcon.react tag="span" className="nbl-line-icon" aria-hidden="true" />
      <Clip text={name} title={title} className="nbl-branch-name" />
      {ahead || behind ? (
        <span className="nbl-ahead" title={title}>
          {ahead ? <span aria-label={trans.__('%1 ahead', ahead)}>↑{ahead}</span> : null}
          {behind ? <span aria-label={trans.__('%1 behind', behind)}>↓{behind}</span> : null}
        </span>
      ) : null}
      {deed ? (
        <TextButton
          kind="minimal"
          label={verb(deed, trans)}
          onClick={() => {
            hands.run(deed === 'push' ? Commands.push : Commands.pull);
          }}
        />
      ) : null}
    </div>
  );
}
