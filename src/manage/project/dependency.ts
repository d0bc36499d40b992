/** `dependsOn` of a VM. */
import { checkMemberName, MEMBER_NAME } from './names.js';
import { field, mapping, object } from './object-readers.js';
import type { Condition, Dependency } from './project.js';
import {
  byKind,
  choice,
  list,
  located,
  mapped,
  parsed,
  type Located,
  type Reader,
} from './readers.js';

const name = parsed(checkMemberName, 'db', { type: 'string', pattern: MEMBER_NAME });

const condition = choice('started', 'healthy', 'completed');

export const dependencies: Reader<Located<Dependency>[]> = byKind({
  list: mapped(list(located(name)), (names) =>
    names.map(({ value, at }) => ({ value: { vm: value, condition: 'started' as const }, at })),
  ),
  other: mapped(
    mapping(
      located(
        byKind<Condition>({
          other: condition,
          map: mapped(
            object(
              { condition: field(condition, 'What is waited for; default: started') },
              { what: 'a dependency' },
            ),
            (values) => values.condition ?? 'started',
          ),
        }),
      ),
      { pattern: MEMBER_NAME, key: checkMemberName, what: 'VMs' },
    ),
    (values) => [...values].map(([vm, { value, at }]) => ({ value: { vm, condition: value }, at })),
  ),
});
