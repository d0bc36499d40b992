// Counts the tests. scripts/run-tests.mjs asks for the counts in a file; without it they are the
// last line of standard output: "N passed, N failed[, N skipped]".
const { writeFileSync, writeSync } = require('node:fs');

const STDOUT = 1;

/** Whole, although standard output may be a pipe that is full. */
function writeLine(text) {
  let rest = Buffer.from(`${text}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(STDOUT, rest));
    } catch (error) {
      if (error.code !== 'EAGAIN') return;
    }
  }
}

module.exports = class SummaryReporter {
  onRunComplete(_contexts, results) {
    const passed = results.numPassedTests;
    // A file that does not even load has no test that could fail.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    const file = process.env.VEXIT_TEST_COUNTS;
    if (file) {
      writeFileSync(file, JSON.stringify({ passed, failed, skipped }));
      return;
    }
    this.empty = results.numTotalTests === 0;
    // After everything else that jest writes.
    process.once('exit', () =>
      writeLine(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`),
    );
  }

  getLastError() {
    return this.empty ? new Error('no test was executed') : undefined;
  }
};
