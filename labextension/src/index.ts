import { plugins as compare } from './compare/plugins';
import { plugins as detail } from './detail/plugins';
import { plugins as files } from './files/plugins';
import { plugins as models } from './models/plugins';
import { plugins as notebook } from './notebook/plugins';
import { plugins as pipeline } from './pipeline/plugins';
import { plugins as runs } from './runs/plugins';
import { plugins as sidebar } from './sidebar/plugins';

export default [
  ...sidebar,
  ...runs,
  ...compare,
  ...detail,
  ...models,
  ...pipeline,
  ...files,
  ...notebook
];
