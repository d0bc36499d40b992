#!/usr/bin/env bash
# Boots Debian's packaged cloud kernel, unmodified, to a shell and asks the shell who it is.
#
#   scripts/stock-kernel.sh [options of vexit run]
#
# On kvm-pvm this takes half an hour and more, most of it for the kernel's own checks (signatures, BTF)
# in interpreted code: it is not part of the tests. Needs a built clone (npm start).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

start=$SECONDS
answers=$(node dist/cli.js run --guest cloud --memory 192M --net none \
    --append 'nowatchdog cryptomgr.notests' --timeout 14400 "$@" \
    < <(echo 'uname -r; nproc; echo "answer=$((40 + 2))"; exit 7')) && status=0 || status=$?
echo "$answers"
echo "status $status after $((SECONDS - start)) s"
[ "$status" -eq 7 ]
grep -q -- '-cloud-amd64$' <<<"$answers"
grep -qx 'answer=42' <<<"$answers"
