import type { ReactElement } from 'react';

/** Longer texts are cut: nobody reads them here, and they would hold up the layout. */
const LONGEST = 2_000;
const LONGEST_TITLE = 400;

/** Text from outside (names, tags, paths, sources): text and nothing else, in its own direction. */
export function Bdi({ text, className }: { text: string; className?: string }): ReactElement {
  return <bdi className={className}>{cut(text, LONGEST)}</bdi>;
}

/** The same in one line that ends in … where room ends; the whole in the title. */
export function Clip({
  text,
  title = text,
  className = ''
}: {
  text: string;
  title?: string;
  className?: string;
}): ReactElement {
  return (
    <bdi className={`nbl-clip ${className}`} title={cut(title, LONGEST_TITLE)}>
      {cut(text, LONGEST)}
    </bdi>
  );
}

/** A path in one line: the name first, its folder dim behind it. */
export function PathText({
  path,
  className = ''
}: {
  path: string;
  className?: string;
}): ReactElement {
  const at = path.lastIndexOf('/', path.length - 2); // a folder ends in /
  return (
    <span className={`nbl-path ${className}`} title={cut(path, LONGEST_TITLE)}>
      <bdi className="nbl-path-name">{cut(path.slice(at + 1), LONGEST)}</bdi>
      {at > 0 ? <bdi className="nbl-path-folder">{cut(path.slice(0, at), LONGEST)}</bdi> : null}
    </span>
  );
}

/** At most so much of it, and nothing in it that turns the text around or hides a part of it. */
export function cut(text: string, longest: number): string {
  const short = text.length > longest ? `${text.slice(0, longest)}…` : text;
  return short.replace(DECEIVING, '\ufffd');
}

/** Marks that order text against its reading, and control characters but tab and line feed. */
// eslint-disable-next-line no-control-regex
const DECEIVING = /[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u000b-\u001f\u007f]/g;
