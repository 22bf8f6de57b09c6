#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh DIRECTORY
# Makes what `docker plugin create NAME DIRECTORY` takes: config.json, and a rootfs of this
# checkout as it is built, Node.js, and the libraries and few tools of this machine that they need.
set -euo pipefail
[ $# -eq 1 ] && [ "${1#-}" = "$1" ] || { echo "usage: build.sh DIRECTORY" >&2; exit 2; }
if [ -e "$1" ] && [ -n "$(ls -A "$1")" ]; then
  echo "build: $1 is not empty" >&2
  exit 1
fi
mkdir -p "$1"
target=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
checkout=$(realpath "$here/../..")
addon=src/native/build/Release/sluice_native.node
[ -e "$checkout/dist/sluiced.js" ] && [ -e "$checkout/$addon" ] ||
  { echo "build: it is not built yet: run npm run setup" >&2; exit 1; }

cp "$here/config.json" "$target/"
root=$target/rootfs
# /etc/ld.so.cache is not needed: these are the directories where the loader looks by itself
mkdir -p "$root"/{bin,lib64,usr/bin,etc,proc,sys/fs/bpf,dev,tmp,host/run,host/cgroup,var/lib/sluice,run/docker/plugins,opt/sluice}
cp "$here/entrypoint.sh" "$root/"
ln -s /host/run/sluice "$root/run/sluice"
ln -s /host/run/netns "$root/run/netns"
ln -s /host/run/docker.sock "$root/run/docker.sock"
ln -s /run "$root/var/run"

programs=("$(command -v node)" "$(command -v mount)" "$(command -v mkdir)")
for program in "${programs[@]}"; do cp -L "$program" "$root/usr/bin/"; done
cp -L /bin/sh "$root/bin/sh"
# "name => /path (address)" or, for the loader, "/path (address)"
ldd "${programs[@]}" /bin/sh "$checkout/$addon" | grep -o '/[^ ]* (0x' | cut -d' ' -f1 | sort -u |
  while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done

cd "$checkout"
cp -r --parents package.json bin dist "$addon" "$root/opt/sluice/"
# what only development needs stays behind
npm ls --omit=dev --all --parseable 2>/dev/null | sed -n "s|^$checkout/||p" | sort -u |
  while read -r package; do
    mkdir -p "$root/opt/sluice/$(dirname "$package")"
    [ -e "$root/opt/sluice/$package" ] || cp -r "$package" "$root/opt/sluice/$package"
  done
echo "build: $(du -sh "$target" | cut -f1) in $1"
