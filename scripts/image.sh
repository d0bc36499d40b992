#!/usr/bin/env bash
# Builds the Dockerfile without a registry and without a container engine: the base image is made
# with debootstrap and this machine's Node.js, and buildah builds on it with --isolation=chroot.
#
#   sudo scripts/image.sh              # the run-time image, localhost/vexit
#   sudo scripts/image.sh --test       # the test stage too, with its tests run in it
#
# Needs root, debootstrap, buildah and a Node.js to copy; debian-root.sh has the settings.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/debian-root.sh"
need debootstrap buildah node
test=
[ "${1:-}" != --test ] || test=1

base=localhost/vexit-node-$release
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    root=$(mktemp -d "$directory/vexit-image-XXXXXX")
    trap 'rm -rf --one-file-system "$root"' EXIT
    say "making the base image $base"
    debian_root "$root"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" / >/dev/null
    settings=(--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
    while read -r setting; do settings+=(--env "$setting"); done < <(network_environment)
    buildah config "${settings[@]}" "$container"
    buildah commit --quiet --rm "$container" "$base" >/dev/null
fi

build() {
    say "buildah build --target $1"
    buildah build --isolation=chroot --layers --build-arg "NODE_IMAGE=$base" --target "$1" --tag "$2" "$here/.."
}

# inside IMAGE COMMAND...: runs it in a container of the image, with /dev/kvm where there is one
inside() {
    local container status=0 devices=()
    container=$(buildah from "$1")
    [ ! -e /dev/kvm ] || devices=(-v /dev/kvm:/dev/kvm)
    say "in $1: ${*:2}"
    buildah run --isolation=chroot "${devices[@]}" "$container" -- "${@:2}" </dev/null || status=$?
    buildah rm "$container" >/dev/null
    return "$status"
}

if [ -n "$test" ]; then
    build test localhost/vexit-test
    inside localhost/vexit-test npm test
fi
build runtime localhost/vexit
inside localhost/vexit vexit --version
[ ! -e /dev/kvm ] || inside localhost/vexit vexit run -- sh -c 'uname -sm; nproc'
say "$(buildah images --format '{{.Name}} {{.Size}}' --filter reference=localhost/vexit)"
