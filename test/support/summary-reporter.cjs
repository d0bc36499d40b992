// Ends the run with the one line that CI reads: "N passed, N failed, N skipped".
module.exports = class SummaryReporter {
  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    const tail = skipped > 0 ? `, ${skipped} skipped` : '';
    this.failed = results.numTotalTests === 0;
    // After the default reporter's text on stderr, whichever of the two is buffered.
    setTimeout(() => process.stdout.write(`${results.numPassedTests} passed, ${failed} failed${tail}\n`), 50);
  }
  getLastError() {
    return this.failed ? new Error('no test was executed') : undefined;
  }
};
