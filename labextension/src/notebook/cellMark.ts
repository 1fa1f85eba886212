import type { CodeCell, ICodeCellModel } from '@jupyterlab/cells';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { IOutputAreaModel } from '@jupyterlab/outputarea';

import { Commands } from '../names';
import type { ILedger, IRunsDelta } from '../tokens';
import { bundleOf, type IBundled, type IRunBundle } from './bundle';
import { digest } from './digest';
import { markOf, type IMark } from './mark';

/** While one types, the digest waits so long; outputs that come in quickly are read so often. */
const TYPING_MS = 300;
const OUTPUT_MS = 100;
/** On the footer of a marked cell: JupyterLab's own has no height. */
const MARKED = 'nbl-mod-marked';

export interface IMarkOptions {
  readonly ledger: ILedger;
  run(command: string, args: ReadonlyPartialJSONObject): void;
}

/**
 * The mark in the footer of one cell. It exists for every code cell and draws nothing until an output tells of a run;
 * nothing of it gets into the notebook.
 */
export class CellMark implements IDisposable {
  constructor(
    private readonly cell: CodeCell,
    private readonly options: IMarkOptions
  ) {
    this.outputs = cell.model.outputs;
    this.outputs.changed.connect(this.outputsChanged);
    this.model = cell.model;
    this.model.contentChanged.connect(this.sourceChanged);
    cell.disposed.connect(this.dropped);
    this.read();
  }

  get isDisposed(): boolean {
    return this.gone;
  }

  dispose(): void {
    if (this.gone) {
      return;
    }
    this.gone = true;
    clearTimeout(this.outputTimer);
    clearTimeout(this.typingTimer);
    this.follow(false);
    this.outputs.changed.disconnect(this.outputsChanged);
    this.model.contentChanged.disconnect(this.sourceChanged);
    this.cell.disposed.disconnect(this.dropped);
    this.node?.remove();
  }

  /** Look at the outputs again. */
  read(): void {
    if (this.gone) {
      return;
    }
    this.bundle = bundleOf(each(this.outputs));
    this.follow(this.bundle !== null);
    this.digest = this.bundle ? digest(this.model.sharedModel.getSource()) : '';
    this.draw();
  }

  private readonly outputsChanged = (): void => {
    this.outputTimer ??= setTimeout(() => {
      this.outputTimer = undefined;
      this.read();
    }, OUTPUT_MS);
  };

  private readonly sourceChanged = (): void => {
    if (this.bundle) {
      clearTimeout(this.typingTimer);
      this.typingTimer = setTimeout(() => {
        this.digest = digest(this.model.sharedModel.getSource());
        this.draw();
      }, TYPING_MS);
    }
  };

  private readonly dropped = (): void => {
    this.dispose();
  };

  /** Listen to the runs only while there is one to show: a Lab without any never asks for them. */
  private follow(on: boolean): void {
    if (on === this.following) {
      return;
    }
    this.following = on;
    const { runs } = this.options.ledger;
    if (on) {
      runs.changed.connect(this.runsChanged);
    } else {
      runs.changed.disconnect(this.runsChanged);
    }
  }

  private readonly runsChanged = (_: unknown, { changed, removed }: IRunsDelta): void => {
    const known = this.mark?.run;
    if (!changed || !known || changed.includes(known) || removed.includes(known)) {
      this.draw();
    }
  };

  private draw(): void {
    const { bundle } = this;
    if (this.gone || !bundle) {
      this.mark = null;
      this.node?.remove();
      this.node = null;
      this.footer?.classList.remove(MARKED);
      return;
    }
    const { runs, trans } = this.options.ledger;
    const run =
      (bundle.run_id ? runs.get(bundle.run_id) : undefined) ?? runs.byJournal(bundle.journal);
    const mark = markOf(bundle, run, runs.loaded, this.digest, trans);
    if (this.node?.parentElement && same(mark, this.mark)) {
      return;
    }
    this.mark = mark;
    const footer = this.footer;
    if (!footer) {
      void this.cell.ready.then(() => {
        this.draw(); // a cell that was out of sight gets its footer when it is first shown
      });
      return;
    }
    const node = drawn(mark, this.options);
    this.node?.remove();
    footer.appendChild(node);
    footer.classList.add(MARKED);
    this.node = node;
  }

  private get footer(): Element | null {
    return this.cell.node.querySelector(':scope > .jp-Cell-footer');
  }

  private readonly model: ICodeCellModel;
  private readonly outputs: IOutputAreaModel;
  private bundle: IRunBundle | null = null;
  private mark: IMark | null = null;
  private digest = '';
  private node: HTMLElement | null = null;
  private following = false;
  private gone = false;
  private outputTimer: ReturnType<typeof setTimeout> | undefined;
  private typingTimer: ReturnType<typeof setTimeout> | undefined;
}

function* each(outputs: IOutputAreaModel): Iterable<IBundled> {
  for (let index = 0; index < outputs.length; index++) {
    yield outputs.get(index);
  }
}

function same(a: IMark, b: IMark | null): boolean {
  return b !== null && (Object.keys(a) as (keyof IMark)[]).every(key => a[key] === b[key]);
}

function drawn(mark: IMark, options: IMarkOptions): HTMLElement {
  const { trans } = options.ledger;
  const node = element('div', 'nbl-CellMark');
  node.dataset.status = mark.status.toLowerCase();
  const run = mark.run;
  const chip = element(run === null ? 'span' : 'button', 'nbl-CellMark-run');
  chip.title = run === null ? mark.title : `${mark.title}\n${trans.__('Show everything recorded')}`;
  if (run !== null) {
    (chip as HTMLButtonElement).type = 'button';
    chip.addEventListener('click', () => {
      options.run(Commands.openRun, { run });
    });
  }
  const sign = element('span', 'nbl-CellMark-sign', mark.sign);
  sign.setAttribute('aria-hidden', 'true');
  chip.append(
    sign,
    element('bdi', 'nbl-CellMark-name', mark.name),
    element('span', 'nbl-CellMark-status', mark.status.toLowerCase())
  );
  if (mark.metric) {
    chip.append(element('bdi', 'nbl-CellMark-metric', mark.metric));
  }
  node.append(chip);
  if (mark.edited) {
    const edited = element('span', 'nbl-CellMark-edited', trans.__('edited since'));
    edited.title = trans.__('The cell was edited since: the run is of its earlier source');
    node.append(edited);
  }
  return node;
}

function element(tag: string, className: string, text = ''): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
