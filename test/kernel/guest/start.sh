#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# start.sh CHECKOUT: process 1 of a guest. Mounts what a booted Debian has, runs the script that the
# kernel's command line names (sluice.task=NAME, sluice.argument=WORD), and powers off.
# Results go to the second serial port, whatever else is said to the first.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root TERM=dumb LANG=C.UTF-8 NODE_NO_WARNINGS=1
CHECKOUT=$1
export CHECKOUT
argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^sluice\.$1=//p"; }
mkdir -p /dev/pts /dev/shm /run/netns /run/lock
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
ln -sf /proc/self/fd /dev/fd
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
hostname guest
ulimit -n 65536
echo 1 >/proc/sys/kernel/panic
stty -F /dev/ttyS1 raw -echo
export RESULTS=/dev/ttyS1
cd "$CHECKOUT" || exit 1
ARGUMENT=$(argument argument)
export ARGUMENT
case $(argument task) in
  gate) node test/kernel/build/gate.js >"$RESULTS" ;;
  smoke) bash test/kernel/guest/smoke.sh >"$RESULTS" ;;
  # the tests of this checkout: an emulated processor needs more time than they grant one
  tests)
    node_modules/.bin/vitest run "$ARGUMENT" --testTimeout=900000 --hookTimeout=900000 \
      --reporter=default --reporter=json --outputFile.json=/tmp/report.json
    cat /tmp/report.json >"$RESULTS"
    ;;
  configuration) bash test/kernel/guest/configuration.sh "$ARGUMENT" >"$RESULTS" ;;
esac
echo "guest: exit code $?"
sync
echo o >/proc/sysrq-trigger
sleep 30
