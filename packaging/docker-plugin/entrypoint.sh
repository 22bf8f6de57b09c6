#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The first process of the managed plugin; its arguments are options of sluiced.
set -eu
# Docker has made it read-only; the daemon writes below net/, of the host's namespace
mount -o remount,rw,bind /proc/sys
# of the host, and so gone when that starts anew
mkdir -p -m 0755 /host/run/sluice /host/run/netns
exec node /opt/sluice/bin/sluiced "$@"
