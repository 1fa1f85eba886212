import type { Cell, CodeCell, MarkdownCell, RawCell } from '@jupyterlab/cells';
import type { IEditorServices } from '@jupyterlab/codeeditor';
import { Notebook, NotebookModel, StaticNotebook } from '@jupyterlab/notebook';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { ITranslator } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { passive } from '../shared/passive';
import type { ISafe } from './safe';

/** What JupyterLab lends for the drawing of a notebook. */
export interface ILent {
  readonly rendermime: IRenderMimeRegistry;
  readonly editors: IEditorServices;
  readonly translator: ITranslator;
}

/** A notebook as it was executed: JupyterLab's own cells, without a kernel, read-only, never trusted. */
export function recordedNotebook(safe: ISafe, lent: ILent, label: string): Widget {
  const model = new NotebookModel();
  model.fromJSON(safe.notebook);
  const { mimeTypeService, factoryService } = lent.editors;
  const fixed = { lineNumbers: false, readOnly: true, codeFolding: false };
  const { code, markdown, raw } = StaticNotebook.defaultEditorConfig;
  const widget = new RecordedNotebook({
    rendermime: passive(lent.rendermime, lent.translator),
    contentFactory: new Labelled(lent.translator, {
      editorFactory: factoryService.newInlineEditor
    }),
    mimeTypeService,
    translator: lent.translator,
    editorConfig: {
      code: { ...code, ...fixed },
      markdown: { ...markdown, ...fixed },
      raw: { ...raw, ...fixed }
    },
    notebookConfig: {
      ...StaticNotebook.defaultNotebookConfig,
      windowingMode: 'full',
      scrollPastEnd: false
    }
  });
  widget.addClass('nbledger-recorded');
  for (const key of Object.keys(widget.node.dataset)) {
    // `data-jp-code-runner` and the like say that a shortcut's command finds its object here.
    widget.node.removeAttribute(
      `data-${key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`
    );
  }
  widget.node.dataset.jpSuppressContextMenu = 'true';
  widget.outerNode.tabIndex = 0;
  widget.outerNode.setAttribute('role', 'region');
  widget.outerNode.setAttribute('aria-label', label);
  widget.model = model;
  widget.disposed.connect(() => {
    model.dispose();
  });
  return widget;
}

/** Cells whose editors have names for screen readers. */
class Labelled extends Notebook.ContentFactory {
  constructor(
    private readonly translator: ITranslator,
    options: Notebook.ContentFactory.IOptions
  ) {
    super(options);
  }

  override createCodeCell(options: CodeCell.IOptions): CodeCell {
    return this.labelled(super.createCodeCell(options));
  }

  override createMarkdownCell(options: MarkdownCell.IOptions): MarkdownCell {
    return this.labelled(super.createMarkdownCell(options));
  }

  override createRawCell(options: RawCell.IOptions): RawCell {
    return this.labelled(super.createRawCell(options));
  }

  private labelled<T extends Cell>(cell: T): T {
    const label = this.translator.load('nbledger').__('Source of a cell');
    void cell.ready.then(() => {
      cell.node.querySelector('.cm-content')?.setAttribute('aria-label', label);
    });
    return cell;
  }
}

class RecordedNotebook extends StaticNotebook {
  /** An empty notebook has nothing to add to. */
  protected override addHeader(): void {
    return;
  }
}
