#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows Sluice at work on one machine, without Docker: a client, a host with the daemon, a container,
# each a network namespace of its own that is gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh

id=demo-$$
work=$(mktemp -d)
client=client-$id host=host-$id box=box-$id
pids=()
export SLUICE_SOCKET=$work/sluice.sock
flags=(--socket "$SLUICE_SOCKET" --state-dir "$work/state" --bpffs "/sys/fs/bpf/sluice-$id" --no-docker --no-metrics)

in_ns() { nsenter --net="/run/netns/$1" "${@:2}"; }
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() {
  printf '$ %s\n' "$*"
  "$@"
}

finish() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  in_ns "$host" bin/sluiced cleanup "${flags[@]}" --state >/dev/null 2>&1 || true
  ip netns del "$client" 2>/dev/null || true
  ip netns del "$host" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

daemon() {
  in_ns "$host" bin/sluiced "${flags[@]}" >"$work/daemon.log" 2>&1 &
  daemon=$!
  pids+=("$daemon")
  until bin/sluice status >/dev/null 2>&1; do
    kill -0 "$daemon" || { cat "$work/daemon.log"; exit 1; }
    sleep 0.1
  done
}

server() { # NETNS PORT LOG
  # a namespace that has no root directory of its own serves this one
  (cd "$work/www" && exec nsenter --net="/run/netns/$1" python3 -u -m http.server "$2" >"$3" 2>&1) &
  pids+=("$!")
  until in_ns "$1" curl -s -o /dev/null "http://127.0.0.1:$2/"; do sleep 0.1; done
  : >"$3"
}

say "A client (192.168.50.2) and a host (192.168.50.1), and the daemon on the host"
ip netns add "$client"
ip netns add "$host"
ip -n "$host" link set lo up
ip -n "$client" link set lo up
ip -n "$host" link add up0 type veth peer name eth0 netns "$client"
ip -n "$host" addr add 192.168.50.1/24 dev up0
ip -n "$client" addr add 192.168.50.2/24 dev eth0
ip -n "$host" link set up0 up
ip -n "$client" link set eth0 up
mkdir "$work/www"
echo "hello from the container" >"$work/www/index.html"
head -c 200000000 /dev/zero >"$work/www/large"
daemon
cat "$work/daemon.log"

say "A network, a sandbox, and its port 80 published as 8080"
show bin/sluice network create web
show bin/sluice sandbox create "$box"
show bin/sluice connect web "$box" -p 8080:80
show bin/sluice endpoint ls
server "$box" 80 "$work/inside.log"
server "$client" 8000 "$work/outside.log"

say "The client reaches it, and the server sees the client's own address"
show in_ns "$client" curl -s http://192.168.50.1:8080/
cat "$work/inside.log"

say "The container reaches the client's server, which sees the host's address"
show in_ns "$box" curl -s http://192.168.50.2:8000/
cat "$work/outside.log"

say "No rule of iptables or nftables is involved"
show in_ns "$host" iptables-save
show in_ns "$host" nft list ruleset

say "The daemon is killed in the middle of a download; the download goes on, and new connections work"
in_ns "$client" curl -s --limit-rate 40M -o /dev/null -w 'downloaded %{size_download} bytes in %{time_total} s\n' \
  http://192.168.50.1:8080/large &
download=$!
sleep 1
kill -9 "$daemon"
show in_ns "$client" curl -s http://192.168.50.1:8080/
wait "$download"

say "Started again, it adopts what is there"
daemon
show bin/sluice status
show bin/sluice conntrack ls
