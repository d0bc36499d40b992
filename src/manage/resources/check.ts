/** What keeps limits of VMs on this host, for `vexit doctor`. */
import type { Check } from '../../machine/host-check.js';
import { cgroupSupport, type Controller } from './cgroup.js';

/** What is limited by a controller, and what keeps the limit without it. */
const WITHOUT: Readonly<Record<Controller, string>> = {
  cpu: 'CPU quotas are kept by holding vCPUs, weights by nice levels',
  memory: 'memory limits are kept by looking',
  io: 'no I/O weights, but limits of disks',
};

/** Never fails: there is something for everything that matters. */
export function checkResources(): Check {
  const support = cgroupSupport();
  const controllers = support?.controllers ?? [];
  const missing = (Object.keys(WITHOUT) as Controller[]).filter(
    (one) => !controllers.includes(one),
  );
  const there =
    support === undefined
      ? 'no cgroup v2 whose controllers this user may use'
      : `cgroup v2: ${controllers.join(', ')} (${support.path})`;
  if (missing.length === 0) return { name: 'resources', status: 'ok', detail: there };
  return {
    name: 'resources',
    status: 'note',
    detail: there,
    hint: missing.map((one) => WITHOUT[one]).join('; '),
  };
}
