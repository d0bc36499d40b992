/** `health` of a VM. */
import {
  parseHealthTime,
  parseHttpProbe,
  type HealthCheck,
  type HttpProbe,
} from '../health/health-check.js';
import { commandLine } from './command-line.js';
import { field, object, whole } from './object-readers.js';
import {
  byKind,
  integer,
  located,
  mapped,
  parsed,
  text,
  type Located,
  type Reader,
} from './readers.js';

const port = integer(1, 65_535);

const http: Reader<HttpProbe> = byKind<HttpProbe>({
  other: parsed(parseHttpProbe, '80/ready'),
  map: mapped(
    whole(
      object(
        { port: field(port, 'Port of the guest'), path: field(text('/ready'), 'Default: /') },
        { required: ['port'], what: 'a request' },
      ),
    ),
    (values) => ({ ...values, port: values.port! }),
  ),
});

const time = parsed(parseHealthTime, '10s');

export const healthCheck: Reader<Located<HealthCheck>> = located(
  mapped(
    whole(
      object(
        {
          exec: field(
            commandLine,
            'Program of the guest that is to end with 0: a list, or text for sh -c',
          ),
          tcp: field(port, 'TCP port that a program of the guest is to listen on'),
          http: field(
            http,
            'Web server of the guest that is to answer: PORT/PATH, or port and path',
          ),
          interval: field(time, 'From the end of a check to the next one; default 5s'),
          timeout: field(time, 'How long a check may take; default 5s'),
          retries: field(
            integer(1, 1000),
            'Failures in a row that make the VM unhealthy; default 3',
          ),
          startPeriod: field(
            time,
            "Time for the guest's start, in which failures do not count; default 2m",
          ),
        },
        { others: { test: 'exec', cmd: 'exec', command: 'exec' }, what: 'a health check' },
      ),
    ),
    ({ exec, tcp, http: request, interval, timeout, retries, startPeriod }): HealthCheck => ({
      ...(exec === undefined ? {} : { exec }),
      ...(tcp === undefined ? {} : { tcp }),
      ...(request === undefined ? {} : { http: request }),
      ...(interval === undefined ? {} : { intervalMs: interval }),
      ...(timeout === undefined ? {} : { timeoutMs: timeout }),
      ...(retries === undefined ? {} : { retries }),
      ...(startPeriod === undefined ? {} : { startPeriodMs: startPeriod }),
    }),
  ),
);
