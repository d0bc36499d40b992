/** What a call throws, for `expect(thrownBy(...)).toMatchObject({ code })`; undefined if nothing. */
export function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}
