import { caretDownIcon, caretRightIcon, fileIcon, folderIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement } from 'react';

import { bytes, count } from '../shared/format';
import { Clip, cut } from '../shared/text';
import { Copy, Part, Said, type IView } from './pieces';
import { tree, type IBranch } from './tree';

/** So many entries of one folder are shown. */
const MOST = 500;

export function Artifacts(view: IView): ReactElement {
  const { detail, trans } = view;
  const branches = tree(detail.artifacts);
  return (
    <Part title={trans.__('Artifacts')} count={detail.artifacts.filter(a => !a.folder).length}>
      {branches.length ? (
        <>
          <Said>
            {trans.__(
              'Kept by MLflow. The copied address is what MLflow’s own functions and commands take.'
            )}
          </Said>
          <Branches branches={branches} view={view} depth={0} />
        </>
      ) : (
        <Said>{trans.__('The run has no artifact.')}</Said>
      )}
    </Part>
  );
}

function Branches(props: {
  branches: readonly IBranch[];
  view: IView;
  depth: number;
}): ReactElement {
  const { branches, view, depth } = props;
  return (
    <ul className="nbl-detail-tree">
      {branches.slice(0, MOST).map(branch => (
        <li key={branch.path}>
          {branch.folder ? (
            <Folder branch={branch} view={view} depth={depth} />
          ) : (
            <Entry branch={branch} view={view} />
          )}
        </li>
      ))}
      {branches.length > MOST ? (
        <li>{view.trans.__('… and %1 more', count(branches.length - MOST))}</li>
      ) : null}
    </ul>
  );
}

function Folder(props: { branch: IBranch; view: IView; depth: number }): ReactElement {
  const { branch, view, depth } = props;
  const [open, setOpen] = useState(depth === 0 && branch.files <= 20);
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <>
      <div className="nbl-detail-branch">
        <button
          type="button"
          className="nbl-detail-fold"
          aria-expanded={open}
          onClick={() => {
            setOpen(!open);
          }}
        >
          <Caret.react tag="span" aria-hidden="true" />
          <folderIcon.react tag="span" aria-hidden="true" />
          <Clip text={branch.name} title={branch.path} />
        </button>
        <Size branch={branch} view={view} />
      </div>
      {open ? <Branches branches={branch.children} view={view} depth={depth + 1} /> : null}
    </>
  );
}

function Entry({ branch, view }: { branch: IBranch; view: IView }): ReactElement {
  return (
    <div className="nbl-detail-branch">
      <span className="nbl-detail-leaf">
        <fileIcon.react tag="span" aria-hidden="true" />
        <Clip text={branch.name} title={branch.path} />
      </span>
      <Size branch={branch} view={view} />
    </div>
  );
}

function Size({ branch, view }: { branch: IBranch; view: IView }): ReactElement {
  const { trans, detail } = view;
  return (
    <span className="nbl-detail-size">
      {branch.folder ? `${trans._n('%1 file', '%1 files', branch.files)} · ` : ''}
      {branch.size === null ? trans.__('size unknown') : bytes(branch.size)}
      <Copy
        text={`runs:/${detail.run.run_id}/${branch.path}`}
        label={trans.__('Copy the address of %1', cut(branch.path, 80))}
        trans={trans}
      />
    </span>
  );
}
