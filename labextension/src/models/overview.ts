/** The models and what goes on with them, as the panel and the page show it. */

import type { Api } from '../api/api';
import type { IModels, IProblem, IProduction, IServing, IWaiting } from '../api/types';
import { problemOf } from '../shared/live';

export interface IOverview extends IModels {
  readonly waiting: readonly IWaiting[];
  readonly serving: readonly IServing[];
  /** What could not be asked beside the models. */
  readonly problems: readonly IProblem[];
}

/** Models without what goes on with them are still models: its failure is one of the problems. */
export async function overview(api: Pick<Api, 'models' | 'production'>): Promise<IOverview> {
  const [models, production] = await Promise.all([
    api.models(),
    api.production().catch((reason: unknown): IProduction => {
      return { waiting: [], serving: [], problems: [problemOf(reason)] };
    })
  ]);
  return { ...models, ...production };
}

export interface IGoing {
  readonly waiting: readonly IWaiting[];
  readonly serving: readonly IServing[];
}

/** What goes on with one model. */
export function of(overview: IOverview, model: string): IGoing {
  return {
    waiting: overview.waiting.filter(one => one.model === model),
    serving: overview.serving.filter(one => one.model === model)
  };
}
