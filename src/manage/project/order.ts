/** The order in which VMs that depend on each other are started. */

/** Names and what each depends on. */
export type Graph = ReadonlyMap<string, readonly string[]>;

/** An order in which everything comes after what it depends on, or a cycle in which there is none. */
export type Order = { readonly order: readonly string[] } | { readonly cycle: readonly string[] };

/**
 * Orders names; those that do not depend on each other stay as they are. What is not in the graph is
 * left out.
 */
export function orderOf(graph: Graph): Order {
  const order: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  // Files have few VMs, but whoever writes one decides how deep this goes: no recursion.
  for (const start of graph.keys()) {
    const stack: { readonly name: string; next: number }[] = [{ name: start, next: 0 }];
    if (done.has(start)) continue;
    path.push(start);
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const needs = graph.get(top.name)!;
      const need = needs[top.next++];
      if (need === undefined) {
        done.add(top.name);
        order.push(top.name);
        stack.pop();
        path.pop();
      } else if (path.includes(need)) {
        return { cycle: [...path.slice(path.indexOf(need)), need] };
      } else if (graph.has(need) && !done.has(need)) {
        stack.push({ name: need, next: 0 });
        path.push(need);
      }
    }
  }
  return { order };
}

/** Names and everything that they depend on, directly or not. */
export function withDependencies(graph: Graph, names: readonly string[]): Set<string> {
  const wanted = new Set(names);
  // A set that grows while it is walked.
  for (const name of wanted) for (const need of graph.get(name) ?? []) wanted.add(need);
  return wanted;
}
