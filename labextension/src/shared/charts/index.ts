export { Bars } from './Bars';
export type { Along, ICurve } from './curve';
export { Curves } from './Curves';
export { best, direction, type Direction } from './direction';
export { mark, Swatch } from './marks';
export { duration, NONE, number, numeric, told } from './numbers';
export { coordinate, type IAxis } from './parallel';
export { Parallel } from './Parallel';
export { Sparkline } from './Sparkline';
