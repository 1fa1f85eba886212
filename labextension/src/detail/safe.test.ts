// @vitest-environment jsdom
import { describe, expect, it } from 'vitest';

import { MOST_CELLS, MOST_CHARACTERS, safeNotebook } from './safe';
import { confined } from '../shared/sanitizer';

const code = (outputs: unknown[], more: object = {}) => ({
  cell_type: 'code',
  source: ['a = 1\n', 'a'],
  metadata: { trusted: true, jupyter: { source_hidden: true } },
  execution_count: 3,
  outputs,
  ...more
});

describe('a recorded notebook', () => {
  it('claims no trust, whatever its cells say', () => {
    const safe = safeNotebook({
      cells: [code([]), { cell_type: 'markdown', source: 'x', metadata: { trusted: true } }],
      metadata: { language_info: { name: 'python', mimetype: 'text/x-ipython' }, widgets: {} }
    });
    expect(safe?.notebook.cells.map(cell => cell.metadata.trusted)).toEqual([undefined, undefined]);
    expect(safe?.notebook.cells.map(cell => cell.metadata.editable)).toEqual([false, false]);
    expect(safe?.notebook.cells[0]?.source).toBe('a = 1\na');
    expect(Object.keys(safe?.notebook.metadata ?? {})).toEqual(['language_info']);
  });

  it('keeps what can be drawn of its outputs', () => {
    const safe = safeNotebook({
      cells: [
        code([
          { output_type: 'stream', name: 'stdout', text: ['a', 'b'] },
          { output_type: 'error', ename: 'E', evalue: 'v', traceback: ['1', '2'] },
          {
            output_type: 'execute_result',
            execution_count: 3,
            data: { 'text/plain': 'x', 'application/json': {} }
          },
          { output_type: 'nonsense' },
          'no output'
        ])
      ]
    });
    const outputs = safe?.notebook.cells[0]?.outputs as { output_type: string }[];
    expect(outputs.map(output => output.output_type)).toEqual([
      'stream',
      'error',
      'execute_result'
    ]);
    expect(outputs[2]).toMatchObject({ data: { 'text/plain': 'x' } });
    expect(outputs[2]).not.toHaveProperty(['data', 'application/json']);
  });

  it('is bounded, and says what was cut', () => {
    const long = 'x'.repeat(MOST_CHARACTERS + 1);
    const safe = safeNotebook({
      cells: [
        code([{ output_type: 'display_data', data: { 'text/html': long, 'text/plain': 'short' } }]),
        ...Array.from({ length: MOST_CELLS }, () => code([], { source: '' }))
      ]
    });
    expect(safe).toMatchObject({ left: 1, cut: 1, cells: MOST_CELLS + 1 });
    expect(safe?.notebook.cells[0]?.outputs).toEqual([
      { output_type: 'display_data', data: { 'text/plain': 'short' }, metadata: {} }
    ]);
  });

  it.each([null, 'text', [], {}, { cells: {} }])('is not %j', value => {
    expect(safeNotebook(value)).toBeNull();
  });

  it('may hold anything where cells should be', () => {
    expect(safeNotebook({ cells: [null, 3, { source: { a: 1 } }] })?.notebook.cells).toHaveLength(
      1
    );
  });
});

describe('HTML of a record', () => {
  it.each([
    [
      '<img src="https://example.org/x.png" alt="far">',
      '<code title="https://example.org/x.png">far</code>'
    ],
    ['<img src="data:image/png;base64,AA==">', '<img src="data:image/png;base64,AA==">'],
    ['<img src="attachment:a.png">', '<img src="attachment:a.png">'],
    ['<p onclick="x()">a</p><script>x()</script>', '<p>a</p>'],
    ['<a href="https://example.org">a</a>', '<a href="https://example.org">a</a>'],
    ['<a href="javascript:x()">a</a>', '<a>a</a>'],
    ['<a href="other.ipynb">a</a>', '<a>a</a>'],
    ['<p style="background: url(https://example.org)">a</p>', '<p>a</p>'],
    ['<p style="color: red">a</p>', '<p style="color: red">a</p>'],
    ['<button data-commandlinker-command="x:y">a</button>', '<button>a</button>'],
    ['<video src="https://example.org/v"></video><style>@import "x"</style>b', 'b']
  ])('%s', (dirty, clean) => {
    expect(confined(dirty)).toBe(clean);
  });
});
