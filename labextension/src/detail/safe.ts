/**
 * A recorded notebook as something that may be looked at: whatever the file says, no cell of it is trusted, and none is
 * so large that drawing it would hold the page.
 */

import type * as nbformat from '@jupyterlab/nbformat';

export const MOST_CELLS = 2_000;
export const MOST_OUTPUTS = 100;
export const MOST_CHARACTERS = 200_000;
const MOST_PICTURE = 8_000_000;

export interface ISafe {
  readonly notebook: nbformat.INotebookContent;
  readonly cells: number;
  /** How many cells were left out, and how many sources or outputs were cut. */
  readonly left: number;
  readonly cut: number;
}

interface ITally {
  cut: number;
}

type Loose = Readonly<Record<string, unknown>>;

/** Null if `value` is no notebook. */
export function safeNotebook(value: unknown): ISafe | null {
  if (!isRecord(value) || !Array.isArray(value.cells)) {
    return null;
  }
  const tally: ITally = { cut: 0 };
  const all = (value.cells as unknown[]).filter(isRecord);
  const shown = all.slice(0, MOST_CELLS).map((cell, index) => safeCell(cell, index, tally));
  const metadata = isRecord(value.metadata) ? value.metadata : {};
  return {
    notebook: {
      cells: shown,
      metadata: {
        language_info: language(metadata)
      },
      nbformat: 4,
      nbformat_minor: 5
    },
    cells: all.length,
    left: all.length - shown.length,
    cut: tally.cut
  };
}

function language(metadata: Loose): nbformat.ILanguageInfoMetadata {
  const said = isRecord(metadata.language_info) ? metadata.language_info : {};
  const info: nbformat.ILanguageInfoMetadata = {
    name: typeof said.name === 'string' ? said.name : 'python'
  };
  if (typeof said.mimetype === 'string') {
    info.mimetype = said.mimetype;
  }
  return info;
}

function safeCell(cell: Loose, index: number, tally: ITally): nbformat.ICell {
  const kind = cell.cell_type;
  // Ids of our own: those of a file may be double, which a notebook's model does not take.
  const common = { id: `recorded-${index}`, source: clipped(text(cell.source), tally) };
  const metadata = { editable: false, deletable: false }; // and no `trusted`, which a file could claim
  if (kind === 'markdown' || kind === 'raw') {
    return {
      ...common,
      cell_type: kind,
      metadata,
      ...(isRecord(cell.attachments)
        ? { attachments: cell.attachments as nbformat.IAttachments }
        : {})
    };
  }
  const outputs = Array.isArray(cell.outputs) ? (cell.outputs as unknown[]).filter(isRecord) : [];
  if (outputs.length > MOST_OUTPUTS) {
    tally.cut += 1;
  }
  return {
    ...common,
    cell_type: 'code',
    metadata,
    execution_count: typeof cell.execution_count === 'number' ? cell.execution_count : null,
    outputs: outputs.slice(0, MOST_OUTPUTS).flatMap(output => safeOutput(output, tally))
  };
}

function safeOutput(output: Loose, tally: ITally): nbformat.IOutput[] {
  switch (output.output_type) {
    case 'stream':
      return [
        {
          output_type: 'stream',
          name: output.name === 'stderr' ? 'stderr' : 'stdout',
          text: clipped(text(output.text), tally)
        }
      ];
    case 'error':
      return [
        {
          output_type: 'error',
          ename: text(output.ename),
          evalue: clipped(text(output.evalue), tally),
          traceback: [clipped(lines(output.traceback), tally)]
        }
      ];
    case 'display_data':
    case 'execute_result': {
      const data = isRecord(output.data) ? safeData(output.data, tally) : {};
      const common = { data, metadata: {} };
      return output.output_type === 'display_data'
        ? [{ output_type: 'display_data', ...common }]
        : [
            {
              output_type: 'execute_result',
              execution_count:
                typeof output.execution_count === 'number' ? output.execution_count : null,
              ...common
            }
          ];
    }
    default:
      return [];
  }
}

function safeData(data: Loose, tally: ITally): nbformat.IMimeBundle {
  const kept: Record<string, nbformat.MultilineString> = {};
  for (const [type, value] of Object.entries(data)) {
    if (typeof value !== 'string' && !Array.isArray(value)) {
      continue; // JSON for renderers that are not used here
    }
    const said = text(value);
    if (type.startsWith('image/')) {
      if (said.length <= MOST_PICTURE) {
        kept[type] = said;
      } else {
        tally.cut += 1;
      }
    } else if (type === 'text/html' && said.length > MOST_CHARACTERS) {
      tally.cut += 1; // half a table is no table: its plain text is shown
    } else {
      kept[type] = clipped(said, tally);
    }
  }
  return kept;
}

function clipped(said: string, tally: ITally): string {
  if (said.length <= MOST_CHARACTERS) {
    return said;
  }
  tally.cut += 1;
  return `${said.slice(0, MOST_CHARACTERS)}…`;
}

function text(value: unknown): string {
  if (typeof value === 'string') {
    return value;
  }
  return Array.isArray(value)
    ? (value as unknown[]).filter(part => typeof part === 'string').join('')
    : '';
}

function lines(value: unknown): string {
  return Array.isArray(value)
    ? (value as unknown[]).filter(part => typeof part === 'string').join('\n')
    : text(value);
}

export function isRecord(value: unknown): value is Loose {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
