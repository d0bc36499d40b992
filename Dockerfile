# vexit in a container image.
#
#   docker build -t vexit .                          the run-time image, with the default guest in it
#   docker run --rm -it --device /dev/kvm vexit      Linux to a shell
#   docker build --target test -t vexit-test .       the image that runs the tests
#
#   base ── build ──┬── guest ── test
#     │             │     │
#     └─────────────┴─────┴──── runtime      (the last stage, so the default target)
#
# NODE_IMAGE is any Debian with Node.js 20 or later and its headers; docs/docker.md has more.
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS base

# ---- build: the addon and dist/, from the lock file and the sources alone
FROM base AS build
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends g++ make python3
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --include=dev --ignore-scripts --no-audit --no-fund
COPY binding.gyp ./
COPY native native
COPY scripts scripts
RUN node scripts/build-native.mjs
COPY tsconfig.json ./
COPY src src
RUN node scripts/build.mjs

# ---- guest: the default guest with both its kernels, so that no container makes one, whatever its host
FROM build AS guest
ENV XDG_CACHE_HOME=/var/cache
RUN node dist/cli.js guest --kernel built && node dist/cli.js guest --kernel cloud \
    && rm -f /var/cache/vexit/*.log /var/cache/vexit/*.lock

# ---- test: KVM tests are skipped unless the container gets --device /dev/kvm
FROM guest AS test
COPY . .
RUN node scripts/setup.mjs test && node scripts/setup.mjs check
CMD ["npm", "test"]

# ---- runtime: Node.js, dist/, the addon, the guest
FROM base AS runtime
ENV NODE_ENV=production XDG_CACHE_HOME=/var/cache
COPY --from=build /src/package.json /src/binding.gyp /opt/vexit/
COPY --from=build /src/dist /opt/vexit/dist
COPY --from=build /src/build/Release/vexit.node /opt/vexit/build/Release/vexit.node
COPY --from=build /src/src/guest /opt/vexit/src/guest
COPY --from=guest /var/cache/vexit /var/cache/vexit
COPY LICENSE /opt/vexit/
RUN ln -s /opt/vexit/dist/cli.js /usr/local/bin/vexit && vexit --version
ENTRYPOINT ["vexit"]
CMD ["run"]
