import type { Api } from '../api/api';
import type { ILedger } from '../tokens';
import { confirm } from './confirm';
import { problemOf } from './live';

/** Say what would be executed, and ask whether the person trusts the project that `api` is about. */
export async function askTrust(ledger: ILedger, api: Api, button?: string): Promise<boolean> {
  const { trans } = ledger;
  const answer = await confirm(ledger, {
    kind: 'trust',
    title: trans.__('Trust this repository?'),
    button: button ?? trans.__('Trust'),
    api
  });
  return answer !== null;
}

/** Do `work`; where it would execute what came with a project that is not trusted, ask and do it with `trust: true`. */
export async function trusting<T>(
  ledger: ILedger,
  api: Api,
  button: string,
  work: (words: { readonly trust?: true }) => Promise<T>
): Promise<T | null> {
  try {
    return await work({});
  } catch (reason) {
    if (problemOf(reason).kind !== 'Untrusted') {
      throw reason;
    }
    return (await askTrust(ledger, api, button)) ? work({ trust: true }) : null;
  }
}
