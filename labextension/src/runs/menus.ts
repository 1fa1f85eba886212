import type { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';

import { Commands } from '../names';
import type { IColumn } from './model/columns';
import type { RunsModel } from './model/model';
import { moved } from './model/settings';
import { only } from './model/selection';

export interface IPoint {
  readonly x: number;
  readonly y: number;
}

/** Commands of a run, in groups; those that no plugin offers are left out. */
const GROUPS: readonly (readonly string[])[] = [
  [Commands.openRun],
  [Commands.compare, 'now'],
  [Commands.reproduce, Commands.promote],
  [Commands.editTags, Commands.openInMlflow, Commands.copyRunId],
  [Commands.deleteRun]
];

/** The context menu of a run; one outside of the selection becomes the selection, as in a file browser. */
export function openRunMenu(
  commands: CommandRegistry,
  model: RunsModel,
  run: string,
  { x, y }: IPoint
): void {
  if (!model.selection.ids.has(run)) {
    model.select(only(run));
  }
  const { selected } = model;
  const menu = new Menu({ commands });
  menu.addClass('nbl-menu');
  for (const group of GROUPS) {
    const before = menu.items.length;
    for (const name of group) {
      const command = name === 'now' ? Commands.compare : name;
      const runs = name === 'now' ? [run, '.'] : selected;
      if (commands.hasCommand(command) && !(name === Commands.compare && selected.length < 2)) {
        if (before > 0 && menu.items.length === before) {
          menu.addItem({ type: 'separator' });
        }
        menu.addItem({ command, args: command === Commands.compare ? { runs } : { run } });
      }
    }
  }
  shown(menu, x, y);
}

/** The menu at the head of a column. */
export function openHeaderMenu(
  model: RunsModel,
  column: IColumn,
  room: number,
  { x, y }: IPoint,
  trans: TranslationBundle
): void {
  const commands = new CommandRegistry();
  const menu = new Menu({ commands });
  menu.addClass('nbl-menu');
  const add = (id: string, label: string, execute: () => void, isToggled?: boolean): void => {
    commands.addCommand(id, {
      label,
      execute,
      isToggled: () => isToggled === true,
      isToggleable: isToggled !== undefined
    });
    menu.addItem({ command: id });
  };
  const line = (): void => {
    menu.addItem({ type: 'separator' });
  };
  const { sort, pinned } = model.settings;
  const by = (descending: boolean): boolean =>
    sort.column === column.id && sort.descending === descending;
  add(
    'ascending',
    trans.__('Sort ascending'),
    () => {
      model.sort({ column: column.id, descending: false });
    },
    by(false)
  );
  add(
    'descending',
    trans.__('Sort descending'),
    () => {
      model.sort({ column: column.id, descending: true });
    },
    by(true)
  );
  line();
  const isPinned = pinned.includes(column.id);
  add(
    'pin',
    trans.__('Pin at the left'),
    () => {
      model.togglePin(column.id);
    },
    isPinned
  );
  const shift = (steps: -1 | 1) => (): void => {
    model.show(neighbour(model, column, room, steps));
  };
  add('left', trans.__('Move left'), shift(-1));
  add('right', trans.__('Move right'), shift(1));
  const width = model.width(column);
  add('wider', trans.__('Wider'), () => {
    model.resize(column.id, width + 40);
  });
  add('narrower', trans.__('Narrower'), () => {
    model.resize(column.id, width - 40);
  });
  add('hide', trans.__('Hide'), () => {
    model.toggleColumn(column.id);
  });
  if (column.kind === 'metric') {
    line();
    const better = model.better(column.key);
    add(
      'up',
      trans.__('Higher is better'),
      () => {
        model.prefer(column.key, 'up');
      },
      better === 'up'
    );
    add(
      'down',
      trans.__('Lower is better'),
      () => {
        model.prefer(column.key, 'down');
      },
      better === 'down'
    );
  }
  if (model.settings.shown !== null) {
    line();
    add('automatic', trans.__('Choose columns automatically'), () => {
      model.show(null);
    });
  }
  shown(menu, x, y);
}

/** The columns with this one past its neighbour of the same side (pinned or not). */
function neighbour(
  model: RunsModel,
  column: IColumn,
  room: number,
  steps: -1 | 1
): readonly string[] {
  const shownNow = model.shown(room);
  const { pinned } = model.settings;
  const side = shownNow.filter(id => pinned.includes(id) === pinned.includes(column.id));
  const other = side[side.indexOf(column.id) + steps];
  return other === undefined
    ? shownNow
    : moved(shownNow, column.id, shownNow.indexOf(other) - shownNow.indexOf(column.id));
}

function shown(menu: Menu, x: number, y: number): void {
  const before = document.activeElement;
  menu.aboutToClose.connect(() => {
    // Back to where the keyboard was; the menu itself goes once its command was executed.
    if (before instanceof HTMLElement) {
      before.focus();
    }
    setTimeout(() => {
      menu.dispose();
    });
  });
  menu.open(x, y);
}
