import {
  symbol,
  symbolCircle,
  symbolCross,
  symbolDiamond,
  symbolSquare,
  symbolStar,
  symbolTriangle,
  type SymbolType
} from 'd3-shape';
import type { ReactElement } from 'react';

/** What tells one run from another in a chart: a colour of the theme's, and for those who do not see it a dash and a mark. */
export interface IMark {
  readonly className: string;
  readonly dash: string | undefined;
  readonly path: string;
}

const SYMBOLS: readonly SymbolType[] = [
  symbolCircle,
  symbolSquare,
  symbolTriangle,
  symbolDiamond,
  symbolCross,
  symbolStar
];
const DASHES = [undefined, '6 3', '2 3', '8 3 2 3', '4 2', '1 2'] as const;

/** The look of the `index`th run; colours repeat after six, dashes then go another round. */
export function mark(index: number): IMark {
  const count = SYMBOLS.length;
  const shape = SYMBOLS[index % count] ?? symbolCircle;
  return {
    className: `nbl-series-${index % count}`,
    dash: DASHES[(index + Math.floor(index / count)) % DASHES.length],
    path: symbol(shape, 36)() ?? ''
  };
}

interface ISwatchProps {
  readonly index: number;
}

/** A short piece of a run's line, as a legend shows it. */
export function Swatch({ index }: ISwatchProps): ReactElement {
  const { className, dash, path } = mark(index);
  return (
    <svg className={`nbl-swatch ${className}`} width={26} height={12} aria-hidden="true">
      <line x1={1} y1={6} x2={25} y2={6} strokeDasharray={dash} />
      <path d={path} transform="translate(13,6)" />
    </svg>
  );
}

interface ILegendProps {
  readonly names: readonly { readonly id: string; readonly name: string }[];
  /** The run that is brought out; null for none. */
  readonly chosen: string | null;
  readonly onChoose: (id: string | null) => void;
  readonly label: string;
}

/** Names with their marks; one of them can be brought out. */
export function Legend({ names, chosen, onChoose, label }: ILegendProps): ReactElement {
  return (
    <ul className="nbl-legend" aria-label={label}>
      {names.map(({ id, name }, index) => (
        <li key={id}>
          <button
            type="button"
            aria-pressed={chosen === id}
            title={name}
            onClick={() => {
              onChoose(chosen === id ? null : id);
            }}
          >
            <Swatch index={index} />
            <bdi>{name}</bdi>
          </button>
        </li>
      ))}
    </ul>
  );
}
