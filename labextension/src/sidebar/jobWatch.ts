import type { IJob } from '../api/types';

/**
 * Which jobs ended while somebody watched: those seen running before, and those that this page started. Jobs that had
 * ended before the page came are no news.
 */
export class JobWatch {
  /** This page started a job; how it ends is told even if it was never seen running. */
  started(id: string): void {
    this.running.add(id);
  }

  /** The jobs as they are now; those whose end is news. */
  ended(jobs: readonly IJob[]): readonly IJob[] {
    const over = jobs.filter(job => job.state !== 'running' && this.running.delete(job.id));
    jobs.filter(job => job.state === 'running').forEach(job => this.running.add(job.id));
    return over;
  }

  private readonly running = new Set<string>();
}

/** The commit that a finished job made, if its answer names one. */
export function commitOf(result: unknown): string | null {
  for (const one of Array.isArray(result) ? (result as unknown[]) : [result]) {
    if (
      one !== null &&
      typeof one === 'object' &&
      'commit' in one &&
      typeof one.commit === 'string'
    ) {
      return one.commit || null;
    }
  }
  return null;
}
