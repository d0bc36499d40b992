#!/usr/bin/env bash
# Proves the two commands on a fresh machine: a minimal Debian with Node.js and nothing else, made
# with debootstrap, in which the committed state of this clone is cloned, started and tested.
#
#   sudo scripts/fresh-machine.sh                          # npm start twice, then .ci/run
#   sudo scripts/fresh-machine.sh 'npm start </dev/null'   # only these commands
#
# Needs root (chroot, mounts), debootstrap, git, a Node.js to copy, and some 6 GiB of disk. The
# machine is removed at the end unless VEXIT_FRESH_KEEP is set. VEXIT_FRESH_CACHE names a directory
# to use as the guest cache instead of an empty one. debian-root.sh has more settings.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/debian-root.sh"
need debootstrap git node unshare chroot

machine=$(mktemp -d "$directory/vexit-machine-XXXXXX")
remove() {
    if [ -n "${VEXIT_FRESH_KEEP:-}" ]; then say "the machine is kept in $machine"; else rm -rf --one-file-system "$machine"; fi
}
trap remove EXIT
say "a fresh $release in $machine"
debian_root "$machine"
git clone --quiet --no-hardlinks "$here/.." "$machine/srv/vexit"
mkdir -p "$machine/root/.cache/vexit"

environment=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM="${TERM:-dumb}")
mapfile -t -O "${#environment[@]}" environment < <(network_environment)

# Mounts live in a namespace of their own and go with it.
inside() {
    unshare --mount --propagation private bash -euc '
        machine=$1 cache=$2 command=$3
        shift 3
        mount -t proc proc "$machine/proc"
        mount --rbind /dev "$machine/dev"
        mount --rbind /sys "$machine/sys"
        [ -z "$cache" ] || mount --bind "$cache" "$machine/root/.cache/vexit"
        exec chroot "$machine" env -i "$@" bash -c "cd /srv/vexit && $command"
    ' fresh-machine "$machine" "${VEXIT_FRESH_CACHE:-}" "$1" "${environment[@]}"
}

[ $# -gt 0 ] || set -- 'npm start </dev/null' 'npm start </dev/null' 'bash .ci/run'
status=0
for command in "$@"; do
    say "$command"
    start=$(date +%s.%N)
    result=0
    inside "$command" || result=$?
    say "$(printf 'status %d after %.1f s: %s' "$result" "$(echo "$(date +%s.%N) $start" | awk '{print $1 - $2}')" "$command")"
    [ "$result" -eq 0 ] || status=1
done
exit "$status"
