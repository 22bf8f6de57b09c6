#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The programs' cost a packet. usage: bench/progcost/run.sh [OBJECT_DIR [ROUNDS [REPEAT]]]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
objects=${1:-$here/../../dist/bpf}
clang=${CLANG:-clang}
work=$(mktemp -d)
ns=sluice-cost-$$
trap 'ip netns del "$ns" 2>/dev/null || true; rm -rf "$work"' EXIT
"$clang" -O2 -g -target bpf -mcpu=v3 -I"/usr/include/$(uname -m)-linux-gnu" \
  -c "$here/wrapper.bpf.c" -o "$work/wrapper.bpf.o"
cc -O2 -Wall -fms-extensions -o "$work/progcost" "$here/progcost.c" -lbpf
ip netns add "$ns"
in_ns() { nsenter --net="/run/netns/$ns" "$@"; }
in_ns ip link set lo up
in_ns ip link add up0 type veth peer name up1
in_ns ip link add br0 type bridge
in_ns ip addr add 192.168.10.1/24 dev up0
in_ns ip addr add 10.64.0.1/24 dev br0
for link in up0 up1 br0; do in_ns ip link set "$link" up; done
in_ns ip route add default via 192.168.10.2
in_ns sysctl -qw net.ipv4.conf.br0.forwarding=1
index() { in_ns ip -j link show "$1" | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["ifindex"])'; }
in_ns ${PERF:-} taskset -c 1 "$work/progcost" "$objects" "$work/wrapper.bpf.o" "$(index up0)" "$(index br0)" "${@:2}"
