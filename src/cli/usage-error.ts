/** What a person typed wrong, as opposed to what went wrong later. */
export class UsageError extends Error {}
