/** Reads a project's file: `vexit up -f vms.yaml`. */
import path from 'node:path';
import { checkDisks } from '../../block/disk-option.js';
import { checkConfig } from '../../machine/config.js';
import { checkInterfaces } from '../../machine/net-settings.js';
import { netSettings } from '../../machine/device-options.js';
import { checkLanOptions } from '../../net/lan/lan-options.js';
import { checkHealth, type FullHealthCheck } from '../health/health-check.js';
import { withAgent } from '../guest-agent.js';
import { NO_RESTART } from '../restart-policy.js';
import {
  checkCards,
  checkDependencies,
  checkFiles,
  checkNetworks,
  checkPorts,
  type LocatedVms,
} from './cross-checks.js';
import { ProjectDocument } from './document.js';
import {
  checkMemberName,
  checkNetworkName,
  checkProjectName,
  defaultProjectName,
  MEMBER_NAME,
  NETWORK_NAME,
  PROJECT_NAME,
  vmName,
} from './names.js';
import { orderOf } from './order.js';
import { ProjectError } from './problems.js';
import type { Project, ProjectVm, ReadOptions } from './project.js';
import { field, mapping, object } from './object-readers.js';
import { integer, located, parsed, text, type JsonSchema, type Located } from './readers.js';
import { present, vm } from './vm-fields.js';
import { vmOptions, type ProjectNetwork, type VmContext, type VmValues } from './vm-options.js';

const lan = parsed(
  (text) => {
    checkLanOptions({ kind: 'lan', lan: text });
    return text;
  },
  'shared',
  { type: 'string' },
);

const network = object(
  {
    lan: field(
      lan,
      "A LAN of the host by its name, as for --net lan=NAME; default: one of the project's own",
    ),
    mtu: field(integer(1280, 65_520), 'Bytes of a packet; default 1500'),
  },
  { what: 'a network' },
);

const PROJECT_FIELDS = {
  $schema: field(text('./node_modules/vexit/schema/vms.json'), 'Where editors find this schema'),
  name: field(
    parsed(checkProjectName, 'shop', { type: 'string', pattern: PROJECT_NAME }),
    "Name of the project, with which the names of its VMs begin; default: the directory's",
  ),
  vms: field(
    mapping(located(vm), { pattern: MEMBER_NAME, key: checkMemberName, what: 'VMs' }),
    'The VMs by their names, by which they find each other',
  ),
  networks: field(
    mapping(network, { pattern: NETWORK_NAME, key: checkNetworkName, what: 'networks' }),
    'Networks between the VMs: an Ethernet switch each',
  ),
} as const;

const projectFile = object(PROJECT_FIELDS, {
  required: ['vms'],
  others: { services: 'vms', machines: 'vms', net: 'networks', project: 'name' },
  what: 'the file',
});

/** The JSON schema of a project's file. */
export function projectSchema(): JsonSchema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'vexit project',
    description: 'Virtual machines that belong together: vexit up -f vms.yaml',
    ...projectFile.schema,
  };
}

/**
 * Reads and checks a file.
 * @throws ProjectError with every mistake
 */
export function readProject(file: string, { name, env }: ReadOptions = {}): Project {
  const document = ProjectDocument.read(file, env);
  const values = projectFile.read(document.root);
  const directory = path.dirname(path.resolve(file));
  const project =
    name === undefined ? (values?.name ?? defaultProjectName(file)) : checkProjectName(name);
  const vms = values?.vms ?? new Map<string, Located<VmValues>>();
  const networks = values?.networks ?? new Map<string, ProjectNetwork>();
  if (vms.size === 0 && document.problems.length === 0)
    document.root.at('vms').problem('there are no VMs', 'describe at least one');
  checkTogether(vms, networks, directory);
  const made = new Map<string, ProjectVm>();
  for (const [key, located] of vms) {
    const context = { project, directory, name: key, at: located.at, networks };
    made.set(key, makeVm(located.value, context));
  }
  document.finish();
  const graph = new Map(
    [...made].map(([key, one]) => [key, one.dependsOn.map(({ vm: other }) => other)]),
  );
  const ordered = orderOf(graph) as { readonly order: readonly string[] };
  return {
    name: project,
    file: path.resolve(file),
    directory,
    vms: new Map(ordered.order.map((key) => [key, made.get(key)!])),
  };
}

function checkTogether(
  vms: LocatedVms,
  networks: ReadonlyMap<string, ProjectNetwork>,
  directory: string,
): void {
  checkDependencies(vms);
  checkNetworks(vms, networks);
  checkPorts(vms);
  checkCards(vms);
  checkFiles(vms, directory);
}

function makeVm(values: VmValues, context: VmContext): ProjectVm {
  const { at, name, project } = context;
  const options = vmOptions(values, context);
  const full = vmName(project, name);
  at.attempt(() => {
    checkConfig({ ...options, name: full });
    checkDisks((options.disks ?? []).filter((disk) => 'path' in disk));
    checkInterfaces(netSettings(options));
  });
  let health: FullHealthCheck | undefined;
  if (values.health !== undefined) {
    const { value, at: place } = values.health;
    place.attempt(() => (health = checkHealth(value, withAgent(options))));
  }
  const { firmwareLog: firmware = false, debugConsole: debug = false } = values;
  const { cpuWeight, cpuQuota, cpuset, memoryLimit, ioWeight } = values;
  const resources = present({ cpuWeight, cpuQuota, cpuset, memoryLimit, ioWeight });
  return {
    name,
    vmName: full,
    config: {
      ...{ options, restart: values.restart ?? NO_RESTART, log: { firmware, debug } },
      ...(Object.keys(resources).length === 0 ? {} : { resources }),
    },
    dependsOn: (values.dependsOn ?? []).map(({ value }) => value),
    ...present({ health, stopMs: values.stopTimeout }),
  };
}

/**
 * The name of the project in a file, whatever else is in it.
 * @throws ProjectError when it is not YAML, or the name is none
 */
export function readProjectName(file: string, env?: Readonly<NodeJS.ProcessEnv>): string {
  const document = ProjectDocument.read(file, env);
  const { root } = document;
  const at = root.at('name');
  if (root.kind !== 'map' || at === root) return defaultProjectName(file);
  const name = PROJECT_FIELDS.name.reader.read(at);
  const about = document.problems.filter(({ path: where }) => where === 'name');
  if (name === undefined || about.length > 0) throw new ProjectError(about);
  return name;
}
