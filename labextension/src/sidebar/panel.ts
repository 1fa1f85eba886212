import type { ITranslator } from '@jupyterlab/translation';
import { SidePanel } from '@jupyterlab/ui-components';
import { Signal, type ISignal } from '@lumino/signaling';
import { MessageLoop } from '@lumino/messaging';
import { Widget, type AccordionPanel } from '@lumino/widgets';

import { Ids } from '../names';
import { ledgerIcon } from '../shared/icons';
import type { ISection } from '../tokens';

/** A section that opens is at least so many pixels high. */
const LEAST = 80;

/** Which sections are open, by id. */
export type Open = Readonly<Record<string, boolean>>;

/** The panel in the left area: what sums up on top, sections below. */
export class LedgerPanel extends SidePanel {
  constructor(translator: ITranslator, summary: Widget) {
    super({ translator });
    this.id = Ids.sidebar;
    this.addClass('nbl-sidebar');
    this.title.icon = ledgerIcon;
    this.title.caption = 'nbledger';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'nbledger');
    this.header.addWidget(summary);
    this.sections.addClass('nbl-sections');
    this.sections.expansionToggled.connect((_, index) => {
      this.share(index);
      this.toggled.emit(this.open);
    });
    this.giveWay();
  }

  /** The user opened or closed a section. */
  get openChanged(): ISignal<this, Open> {
    return this.toggled;
  }

  get open(): Open {
    return Object.fromEntries(
      this.sections.widgets.map(section => [section.id, !section.isHidden])
    );
  }

  insert(section: ISection, rank: number, open: boolean): void {
    const after = this.ranks.findIndex(other => other > rank);
    const index = after < 0 ? this.ranks.length : after;
    this.ranks.splice(index, 0, rank);
    this.insertWidget(index, section);
    this.setOpen(section, open);
  }

  setOpen(section: Widget, open: boolean): void {
    const index = this.sections.widgets.indexOf(section);
    if (index < 0 || open === !section.isHidden) {
      return;
    }
    if (open) {
      this.sections.expand(index);
    } else {
      this.sections.collapse(index);
    }
  }

  find(id: string): Widget | undefined {
    return this.sections.widgets.find(section => section.id === id);
  }

  /** What sums up takes as many lines as it needs; the sections have what is left. */
  private giveWay(): void {
    new ResizeObserver(() => {
      if (this.isVisible) {
        MessageLoop.postMessage(this.content, Widget.ResizeMessage.UnknownSize);
      }
    }).observe(this.header.node);
  }

  /** A section that opens has room: Lumino gives none to one that was never open before. */
  private share(index: number): void {
    requestAnimationFrame(() => {
      const { widgets } = this.sections;
      const opened = widgets[index];
      const open = widgets.filter(section => !section.isHidden);
      if (!opened || opened.isHidden || opened.node.clientHeight >= LEAST) {
        return;
      }
      const all = open.reduce((sum, section) => sum + section.node.clientHeight, 0);
      this.sections.setRelativeSizes(
        widgets.map(section =>
          section === opened
            ? Math.max(all / open.length, 1)
            : section.isHidden
              ? 0
              : Math.max(section.node.clientHeight, 1)
        )
      );
    });
  }

  private get sections(): AccordionPanel {
    return this.content as AccordionPanel;
  }

  private readonly ranks: number[] = [];
  private readonly toggled = new Signal<this, Open>(this);
}
