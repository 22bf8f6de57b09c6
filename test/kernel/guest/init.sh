#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# /init of a guest's initramfs. Its root becomes that of the machine it runs on, which the guest sees
# through virtiofs and cannot change: what it writes is in memory. /tmp, /run and /var/lib start empty.
export PATH=/bin
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
refuse() {
  echo "guest: $*"
  poweroff -f
}
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
mount -t virtiofs -o ro host /host || refuse "no root by virtiofs"
mount -t tmpfs -o size=80% rw /rw
mkdir -p /rw/upper /rw/work
mount -t overlay overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work /root || refuse "no overlay"
for each in proc sys dev; do mount --move "/$each" "/root/$each"; done
for each in run tmp var/lib; do mount -t tmpfs -o mode=1777 tmpfs "/root/$each"; done
show() { # PATH-OF-THE-HOST [PLACE]: it may lie below what has just been covered, or be a mount of its own
  mkdir -p "/root${2:-$1}"
  mount --bind "/host$1" "/root${2:-$1}" || refuse "no $1"
}
read -r checkout </checkout
read -r modules </kernel-modules
show "$checkout"
show "$modules" "/usr/lib/modules/$(uname -r)"
exec chroot /root /bin/bash "$checkout/test/kernel/guest/start.sh" "$checkout"
