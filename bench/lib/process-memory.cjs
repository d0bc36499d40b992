// What a process holds in memory, guest memory left out.
'use strict';

const { readFileSync } = require('node:fs');

/** Guest memory by the name of its mapping: vexit's memfd, or anonymous memory of its size. */
const GUEST_NAME = /memfd:vexit-/;
const GUEST_KIB = 16 * 1024;

/**
 * Resident, proportional and private dirty memory of a process in MiB, from /proc/PID/smaps.
 * @param {number | string} pid
 */
exports.memoryOf = (pid) => {
  const sum = { rss: 0, pss: 0, private: 0 };
  let guest = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const value = /^(Size|Rss|Pss|Private_Dirty):\s+(\d+)/.exec(line);
    if (value === null) {
      if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) guest = GUEST_NAME.test(line);
    } else if (value[1] === 'Size') {
      guest ||= Number(value[2]) === GUEST_KIB;
    } else if (!guest) {
      const key = { Rss: 'rss', Pss: 'pss', Private_Dirty: 'private' }[value[1]];
      sum[key] += Number(value[2]) / 1024;
    }
  }
  return sum;
};
