// Stands for node:assert in the bundle of the command line, see build.mjs.
'use strict';

function check(holds, message) {
  if (!holds) throw message instanceof Error ? message : new Error(message);
}

exports.strictEqual = (actual, expected, message) => check(Object.is(actual, expected), message);
exports.notStrictEqual = (actual, other, message) => check(!Object.is(actual, other), message);
