/**
 * The digest of a cell's source by which a run's summary knows the source that it ran: CRC-32 of its UTF-8 in eight hex
 * digits. Ends of lines, blanks before them, and blank lines around the source do not count.
 * `magics/nbledger_magics/bundle.py` makes the same; both are held against the list in `digest.test.ts`.
 */
export function digest(source: string): string {
  const text = source
    .replace(/\r\n?/g, '\n')
    .replace(/[ \t]+(?=\n|$)/g, '')
    .replace(/^\n+|\n+$/g, '');
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) {
    crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0);
  }
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) {
    value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return value >>> 0;
});
