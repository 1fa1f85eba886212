import { LabIcon } from '@jupyterlab/ui-components';

import { NAME } from '../names';

/** A ledger: a book with ruled lines and a tick. The classes take the theme's colours. */
export const ledgerIcon = new LabIcon({
  name: `${NAME}:ledger`,
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
<g class="jp-icon3 jp-icon-selectable" fill="#616161">
<path d="M6 2h13a1 1 0 0 1 1 1v9.1a6 6 0 0 0-2-.9V4H7.5v14h3.7a6 6 0 0 0 .9 2H6a2 2 0 0 1-2-2V4a2 2 0 0 1 2-2z"/>
<path d="M9.5 7h6v1.6h-6zM9.5 10.4h4.5V12H9.5z"/>
<path d="M16 22.2 12.4 18.6l1.3-1.3 2.3 2.3 5-5 1.3 1.3z"/>
</g>
</svg>`
});

function icon(name: string, paths: string): LabIcon {
  return new LabIcon({
    name: `${NAME}:${name}`,
    svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161">${paths}</g></svg>`
  });
}

/** A branch. */
export const branchIcon = icon(
  'branch',
  '<path d="M18 5a3 3 0 1 0-4 2.83V8a3 3 0 0 1-3 3H9a5 5 0 0 0-1 .1V7.83a3 3 0 1 0-2 0v8.34a3 3 0 1 0 2 0V16a3 3 0 0 1 3-3h0a5 5 0 0 0 5-5v-.17A3 3 0 0 0 18 5zM7 4a1 1 0 1 1 0 2 1 1 0 0 1 0-2zm0 16a1 1 0 1 1 0-2 1 1 0 0 1 0 2zm8-14a1 1 0 1 1 0-2 1 1 0 0 1 0 2z"/>'
);

/** Data that goes into the cache. */
export const trackIcon = icon(
  'track',
  '<path d="M12 3C7.6 3 4 4.6 4 6.5v11C4 19.4 7.6 21 12 21c.7 0 1.3 0 2-.1v-2c-.6.1-1.3.100-2 .1-3.7 0-6-1.2-6-1.5v-2.3c1.5.700 3.6 1.1 6 1.1h1v-2h-1c-3.7 0-6-1.2-6-1.5v-2.3c1.5.700 3.6 1.1 6 1.1s4.5-.4 6-1.1V12h2V6.5C20 4.6 16.4 3 12 3zm0 5.5c-3.7 0-6-1.3-6-2s2.3-1.5 6-1.5 6 .8 6 1.5-2.3 2-6 2z"/><path d="M18 14h2v3h3v2h-3v3h-2v-3h-3v-2h3z"/>'
);

/** A commit on its line. */
export const checkpointIcon = icon(
  'checkpoint',
  '<path d="M22 11h-5.1a5 5 0 0 0-9.8 0H2v2h5.1a5 5 0 0 0 9.8 0H22zm-10 4a3 3 0 1 1 0-6 3 3 0 0 1 0 6z"/>'
);

/** Plus and minus. */
export const diffIcon = icon('diff', '<path d="M11 3h2v4h4v2h-4v4h-2V9H7V7h4zM7 17h10v2H7z"/>');

/** A clock that goes back. */
export const versionsIcon = icon(
  'versions',
  '<path d="M13 3a9 9 0 0 0-9 9H1l4 4 4-4H6a7 7 0 1 1 2.05 4.95l-1.42 1.42A9 9 0 1 0 13 3zm-1 5v5l4.28 2.54.720-1.21-3.5-2.08V8z"/>'
);
