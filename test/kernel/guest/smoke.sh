#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# smoke.sh: in a guest, traffic through the real daemon.
here=$CHECKOUT/test/kernel/guest
# shellcheck source-path=SCRIPTDIR
. "$here/lib.sh"
make_network
traces >"$WORK/before"
if done_by 'the daemon starts' start_daemon --xdp; then
  sluice status | sed -n '/^FEATURE/,/^$/p' >&2
  for part in sandboxes publish masquerade fragments services restart; do . "$here/smoke/$part.sh"; done
  in_ns host curl -s 127.0.0.1:9477/metrics | grep '^sluice_dropped_packets_total.* [1-9]' >&2
  . "$here/smoke/cleanup.sh"
fi
echo end
