import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { IProblem } from './types';

const ROOT = 'nbledger/api';

/** What the server refused or could not do, in its own words. */
export class LedgerError extends Error {
  constructor(
    readonly problem: IProblem,
    readonly status: number
  ) {
    super(problem.error);
    this.name = 'LedgerError';
  }
}

/** A question's words; a list stands for a word that is repeated. */
export type Query = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

/** The one way to the server: `path` below the extension's routes. Raises `LedgerError`. */
export async function request<T>(
  settings: ServerConnection.ISettings,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  query: Query = {},
  body?: unknown,
  signal?: AbortSignal
): Promise<T> {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value]) {
      if (one !== undefined && one !== false) {
        words.append(key, one === true ? '1' : String(one));
      }
    }
  }
  const asked = words.toString();
  const url = URLExt.join(settings.baseUrl, ROOT, path) + (asked ? `?${asked}` : '');
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
  }
  if (signal) {
    init.signal = signal;
  }
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(url, init, settings);
  } catch (reason) {
    if (signal?.aborted) {
      throw reason;
    }
    throw new LedgerError(
      { error: 'Jupyter Server does not answer', hint: 'check that it still runs', code: 3 },
      0
    );
  }
  const text = await response.text();
  const answer = parsed(text);
  if (!response.ok) {
    throw new LedgerError(problemOf(answer, response), response.status);
  }
  return (answer as { result: T }).result;
}

function parsed(text: string): unknown {
  try {
    return text ? (JSON.parse(text) as unknown) : null;
  } catch {
    return null; // a proxy's page
  }
}

function problemOf(answer: unknown, response: Response): IProblem {
  if (answer !== null && typeof answer === 'object') {
    const { error, message } = answer as { error?: unknown; message?: unknown };
    if (error !== null && typeof error === 'object' && 'error' in error) {
      return error as IProblem;
    }
    if (typeof message === 'string' && message) {
      return { error: message, hint: '', code: 3 };
    }
  }
  const missing = response.status === 404;
  return {
    error: missing
      ? "nbledger's server extension is not enabled"
      : `the server answered ${response.status} ${response.statusText}`,
    hint: missing
      ? 'jupyter server extension enable nbledger.server, then start JupyterLab again'
      : '',
    code: 3
  };
}
