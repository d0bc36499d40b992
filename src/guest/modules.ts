/** Which kernel modules to load, and in which order. */
import path from 'node:path';

/** "virtio-net.ko.xz" and "virtio_net" name the same module. */
function moduleName(file: string): string {
  return path
    .basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

/**
 * The files to load for the wanted modules, each after what it depends on, none twice.
 * @param wanted names; one that the kernel has built in, or does not have at all, is left out
 * @param dependencies the text of modules.dep: "file: file file..."
 * @param builtin the text of modules.builtin
 */
export function loadOrder(
  wanted: readonly string[],
  dependencies: string,
  builtin: string,
): string[] {
  const needs = new Map<string, string[]>();
  for (const line of dependencies.split('\n')) {
    const [file, rest] = line.split(':', 2);
    if (file === undefined || rest === undefined) continue;
    needs.set(
      file,
      rest.split(' ').filter((name) => name !== ''),
    );
  }
  const builtIn = new Set(builtin.split('\n').map(moduleName));
  const files = new Map([...needs.keys()].map((file) => [moduleName(file), file]));
  const order = new Set<string>();
  const visit = (file: string): void => {
    if (order.has(file)) return;
    // modules.dep is transitive and lists the deepest last.
    for (const needed of [...(needs.get(file) ?? [])].reverse()) order.add(needed);
    order.add(file);
  };
  for (const name of wanted) {
    const file = files.get(moduleName(name));
    if (file !== undefined && !builtIn.has(moduleName(name))) visit(file);
  }
  return [...order];
}
