#!/usr/bin/env bash
# npm start [-- options of vexit run]: prepares the clone, then boots Linux to a shell.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
node scripts/setup.mjs start
exec node dist/cli.js run "$@"
