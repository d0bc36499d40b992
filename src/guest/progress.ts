/** How long work on the default guest tells where it is. */

/** One report: what is being done, on what, and how much of the step is done (0 to 1). */
export interface ProgressEvent {
  readonly step: string;
  readonly detail?: string;
  readonly fraction?: number;
}

/** Receives the reports; must not throw. */
export type Progress = (event: ProgressEvent) => void;
