/** What `up` and `down` say while they are at work. */

/** What has become of a VM. `failed` comes with the end of its log. */
export type ProjectStep =
  | 'creating'
  | 'starting'
  | 'started'
  | 'waiting'
  | 'healthy'
  | 'completed'
  | 'kept'
  | 'stopping'
  | 'stopped'
  | 'removed'
  | 'failed';

/** One step of one VM. */
export interface ProjectProgress {
  /** By the name in the file. */
  readonly vm: string;
  readonly step: ProjectStep;
  /** More about it: what is waited for, or the last lines of the log; the guest's words. */
  readonly detail?: string;
}

/** Hears of every step. */
export type OnProjectProgress = (progress: ProjectProgress) => void;
