#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# initramfs.sh KERNEL-DIRECTORY RELEASE CHECKOUT OUT
# The first root of a guest: busybox, and the modules by which it mounts this machine's own root,
# read-only below an overlay in memory. The kernel's modules come from KERNEL-DIRECTORY.
set -euo pipefail
kernel=$1 release=$2 checkout=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "$(dirname "$out")/initramfs-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{bin,proc,sys,dev,host,rw,root,modules}
cp /bin/busybox "$work/bin/busybox"
: >"$work/modules/order"
for module in virtio_pci virtiofs overlay virtio_rng; do
  # built in where there is none
  { modprobe -d "$kernel" -S "$release" --show-depends "$module" 2>/dev/null || true; } |
    awk '$1 == "insmod" { print $2 }' |
    while read -r file; do
      name=$(basename "$file")
      name=${name%.xz}
      name=${name%.zst}
      [ -e "$work/modules/$name" ] && continue
      case $file in
        *.xz) xz -dc "$file" ;;
        *.zst) zstd -qdc "$file" ;;
        *) cat "$file" ;;
      esac >"$work/modules/$name"
      echo "$name" >>"$work/modules/order"
    done
done
printf '%s\n' "$checkout" >"$work/checkout"
printf '%s\n' "$kernel/lib/modules/$release" >"$work/kernel-modules"
cp "$here/../guest/init.sh" "$work/init"
chmod +x "$work/init"
(cd "$work" && find . | cpio -o -H newc --quiet | gzip -1) >"$out"
