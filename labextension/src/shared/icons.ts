import { LabIcon } from '@jupyterlab/ui-components';

import { NAME } from '../names';

/** A ledger: a book with ruled lines and a tick. The classes take the theme's colours. */
export const ledgerIcon = new LabIcon({
  name: `${NAME}:ledger`,
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
<g class="jp-icon3 jp-icon-selectable" fill="#616161">
<path d="M6 2h13a1 1 0 0 1 1 1v9.1a6 6 0 0 0-2-.9V4H7.5v14h3.7a6 6 0 0 0 .9 2H6a2 2 0 0 1-2-2V4a2 2 0 0 1 2-2z"/>
<path d="M9.5 7h6v1.6h-6zM9.5 10.4h4.5V12H9.5z"/>
<path d="M16 22.2 12.4 18.600l1.300-1.300 2.300 2.300 5-5 1.300 1.300z"/>
</g>
</svg>`
});
