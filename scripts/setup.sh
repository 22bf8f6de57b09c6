#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh [--tests]
# Installs and builds what is missing: system packages, npm packages, the addon, the BPF objects,
# the TypeScript; with --tests also the Docker that only the tests need. Says what it does; has
# nothing to do the second time.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

case "$*" in
  '') tests=false ;;
  --tests) tests=true ;;
  *) fail "usage: setup.sh [--tests]" ;;
esac
command -v node >/dev/null || fail "there is no node: install Node.js 20.19 or newer (https://nodejs.org)"
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a === "20" && b >= 19) ? 0 : 1)' ||
  fail "Node.js $(node --version) is too old: 20.19 or newer is needed"

packages=(
  clang clang-format libbpf-dev libelf-dev libmnl-dev pkg-config g++ make python3 bpftool iproute2
  # for the tests, the demo and the benchmark's comparisons
  python3-scapy iptables nftables tcpdump ethtool iputils-ping curl procps fish zsh
)
if $tests; then
  packages+=(busybox-static bind9-dnsutils)
  # other kernels, in virtual machines
  [ -n "${SLUICE_NO_KERNEL_TESTS:-}" ] ||
    packages+=(qemu-system-x86 seabios cpio kmod xz-utils zstd util-linux debian-archive-keyring)
  # a Docker of the user's own, of whatever origin, is left as it is; else there will be one, which is not started
  command -v dockerd >/dev/null || packages+=(docker.io)
  command -v docker-compose >/dev/null || packages+=(docker-compose)
fi
installed=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' 2>/dev/null | awk '$2 ~ /^ii/ {print $1}' || true)
missing=()
for package in "${packages[@]}"; do
  grep -qx "$package" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "these are missing and there is no apt-get to install them: ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || fail "run it as root to install: ${missing[*]}"
  say "installing ${missing[*]}"
  log=$(mktemp)
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    # exit code 101: services stay as they are (invoke-rc.d(8))
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  install_missing() {
    apt-get update -qq || return
    # newer releases have these apart
    if [[ " ${missing[*]} " == *" docker.io "* ]] && apt-cache show docker-cli >/dev/null 2>&1; then
      missing+=(docker-cli)
    fi
    if [[ " ${missing[*]} " == *" qemu-system-x86 "* ]] && apt-cache show virtiofsd >/dev/null 2>&1; then
      missing+=(virtiofsd)
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  }
  install_missing >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "apt-get failed; the whole log is in $log"; }
  rm -f "$log"
fi

# newer STAMP FIND-ARGUMENTS...: some file found is newer than the stamp, or there is no stamp
newer() {
  local stamp=$1
  shift
  [ -e "$stamp" ] || return 0
  [ -n "$(find "$@" -newer "$stamp" -print -quit)" ]
}

if newer node_modules/.sluice-stamp package.json package-lock.json; then
  say "npm ci"
  npm ci --silent --no-audit --no-fund --ignore-scripts
  touch node_modules/.sluice-stamp
fi

addon=src/native/build/Release/sluice_native.node
if newer "$addon" src/native/cc src/native/binding.gyp; then
  say "building the addon"
  headers=()
  [ -e /usr/include/node/node_api.h ] && headers=(--nodedir=/usr)
  log=$(mktemp)
  npx --no-install node-gyp rebuild --directory src/native "${headers[@]}" >"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; fail "the addon does not build; the whole log is in $log"; }
  rm -f "$log"
fi

bash scripts/build-bpf.sh

if newer dist/.stamp src metrics tsconfig.json package.json \( -name '*.ts' -o -name '*.json' \); then
  say "compiling TypeScript"
  npm run --silent build:ts
  touch dist/.stamp
fi
say "ready"
