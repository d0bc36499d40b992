#!/usr/bin/env bash
# npm test [-- arguments of jest]: prepares the clone, then runs the tests. The last line of
# standard output counts them, whatever happens.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
if ! node scripts/setup.mjs test; then
    echo '0 passed, 1 failed'
    exit 1
fi
exec node scripts/run-tests.mjs "$@"
