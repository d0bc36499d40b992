# Sourced by fresh-machine.sh and image.sh: makes the root file system of a minimal Debian with Node.js.
#
# VEXIT_FRESH_DIR      where (default /var/tmp); the base system is kept there for the next time
# VEXIT_FRESH_RELEASE  Debian's release (default bookworm)
# VEXIT_FRESH_MIRROR   where debootstrap fetches from

directory=${VEXIT_FRESH_DIR:-/var/tmp}
release=${VEXIT_FRESH_RELEASE:-bookworm}
mirror=${VEXIT_FRESH_MIRROR:-http://deb.debian.org/debian}

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }

need() {
    if [ "$(id -u)" -ne 0 ]; then
        say "needs root: sudo $0"
        exit 2
    fi
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null && continue
        say "$program is missing; install the Debian packages debootstrap, git, util-linux and buildah"
        exit 2
    done
}

# copy_into ROOT FILE...: the same paths, links followed
copy_into() {
    local root=$1 file
    shift
    for file in "$@"; do
        [ -e "$file" ] || continue
        mkdir -p "$root$(dirname "$file")"
        rm -rf "${root:?}$file"
        cp -rL "$file" "$root$file"
    done
}

# debian_root ROOT: fills the empty directory
debian_root() {
    local root=$1 base=$directory/vexit-$release prefix
    if [ ! -e "$base/usr/bin/apt-get" ] || [ -d "$base/debootstrap" ]; then
        say "debootstrap $release into $base"
        rm -rf "$base"
        debootstrap --variant=minbase --include=ca-certificates "$release" "$base" "$mirror" >"$base.log" 2>&1 ||
            { tail -n 20 "$base.log" >&2; return 1; }
    fi
    cp -a "$base/." "$root"

    # Node.js as its package brings it: the program, npm and the headers.
    prefix=$(dirname "$(dirname "$(node -p process.execPath)")")
    install -D "$prefix/bin/node" "$root/usr/bin/node"
    mkdir -p "$root/usr/lib/node_modules" "$root/usr/include"
    cp -a "$prefix/lib/node_modules/npm" "$root/usr/lib/node_modules/"
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/bin/npm"
    ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/bin/npx"
    [ -n "${VEXIT_FRESH_NO_HEADERS:-}" ] || cp -a "$prefix/include/node" "$root/usr/include/"

    # The way to the network is this machine's: package sources, certificates, name service.
    copy_into "$root" /etc/resolv.conf /etc/hosts /etc/npmrc "$prefix/etc/npmrc" \
        /etc/ssl/certs/ca-certificates.crt /etc/apt/apt.conf.d/99*
    if [ "$release" = "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" ]; then
        rm -f "$root/etc/apt/sources.list"
        copy_into "$root" /etc/apt/sources.list /etc/apt/sources.list.d
    fi
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb
}

# network_environment: NAME=VALUE lines of what programs need to know to reach the network
network_environment() {
    local name
    for name in NODE_EXTRA_CA_CERTS SSL_CERT_FILE http_proxy https_proxy no_proxy; do
        [ -z "${!name:-}" ] || printf '%s=%s\n' "$name" "${!name}"
    done
}
