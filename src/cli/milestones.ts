/** How far this run of the command has come, for who started it (launch.ts). */
export const milestones = {
  /** A guest has run and ended. */
  guestEnded: false,
};
