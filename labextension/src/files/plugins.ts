import { filesPlugin } from './filesPlugin';

export const plugins = [filesPlugin];
