import type { INotebookContent } from '@jupyterlab/nbformat';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import { useLayoutEffect, useRef, useState, type ReactElement } from 'react';

import type { INotebookDiff } from '../api/types';
import { Busy } from './parts';
import { passive } from './passive';

export interface INotebookDiffProps {
  readonly diff: INotebookDiff;
  readonly rendermime: IRenderMimeRegistry;
  readonly trans: TranslationBundle;
}

/** Two notebooks side by side as nbdime shows them. Nothing of them is executed, and their outputs are not trusted. */
export function NotebookDiffView({ diff, rendermime, trans }: INotebookDiffProps): ReactElement {
  const place = useRef<HTMLDivElement>(null);
  const [state, setState] = useState<'busy' | 'shown' | 'failed'>('busy');
  // A layout effect: its end comes while the place is still in the page, which Lumino insists on.
  useLayoutEffect(() => {
    let widget: Widget | null = null;
    let gone = false;
    const show = async (): Promise<void> => {
      const made = await madeWidget(diff, rendermime);
      if (gone || !place.current) {
        made.dispose();
        return;
      }
      widget = made;
      Widget.attach(made, place.current);
      setState('shown');
      await made.init();
    };
    setState('busy');
    show().catch((reason: unknown) => {
      console.error('nbledger: the notebooks cannot be shown', reason);
      setState('failed');
    });
    return () => {
      gone = true;
      widget?.dispose();
    };
  }, [diff, rendermime]);
  return (
    <div className="nbl-notebook-diff">
      {state === 'busy' && <Busy text={trans.__('Comparing notebooks…')} />}
      {state === 'failed' && <p>{trans.__('These notebooks cannot be shown side by side.')}</p>}
      <div ref={place} />
    </div>
  );
}

/** nbdime is fetched when a notebook's diff is first looked at. */
async function madeWidget(
  { base, diff }: INotebookDiff,
  rendermime: IRenderMimeRegistry
): Promise<Widget & { init(): Promise<void> }> {
  const [{ NotebookDiffModel }, { NotebookDiffWidget }] = await Promise.all([
    import('nbdime/lib/diff/model'),
    import('nbdime/lib/diff/widget')
  ]);
  const model = new NotebookDiffModel(base as INotebookContent, diff as never);
  return new NotebookDiffWidget({
    model,
    rendermime: passive(rendermime),
    collapseIdentical: true
  });
}
