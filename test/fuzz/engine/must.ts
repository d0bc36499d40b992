/** What has to hold. Cheaper than `expect`, and there without jest. */
export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not so: ${what}`);
}
