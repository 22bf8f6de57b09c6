#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows Sluice at work on one machine, without Docker: a client, a host with the daemon, a sandbox,
# each a network namespace of its own that is gone afterwards. usage: npm run demo
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "demo: run it as root: it makes network namespaces and loads programs" >&2; exit 1; }
bash scripts/setup.sh
PATH=$PWD/bin:$PATH

id=demo-$$
work=$(mktemp -d)
client=client-$id host=host-$id box=box-$id one=one-$id two=two-$id
pids=()
daemon=
export SLUICE_SOCKET=$work/sluice.sock
flags=(--socket "$SLUICE_SOCKET" --state-dir "$work/state" --bpffs "/sys/fs/bpf/sluice-$id" --no-docker --no-metrics)

in_ns() { nsenter --net="/run/netns/$1" "${@:2}"; }
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
shown() { printf '$ %s\n' "$*"; }
show() { shown "$*"; "$@"; }
on() { # WHERE NETNS COMMAND...
  printf '%s$ %s\n' "$1" "${*:3}"
  in_ns "$2" "${@:3}"
}

# kill PID... and wait, so that the shell has nothing to say about it
end() {
  for pid; do
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}

finish() {
  code=$?
  trap - EXIT INT TERM
  end "${pids[@]}" ${daemon:+"$daemon"}
  if [ -e "/run/netns/$host" ] && [ -e "$work/state" ]; then
    in_ns "$host" sluiced cleanup "${flags[@]}" --state >"$work/cleanup.log" 2>&1 || cat "$work/cleanup.log" >&2
  fi
  for ns in "$client" "$host"; do ip netns del "$ns" 2>/dev/null || true; done
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Waits up to a minute for a command to succeed.
until_done() {
  for _ in $(seq 600); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "demo: this did not come about: $*" >&2
  return 1
}

start_daemon() {
  # exec: the process that is killed below is the daemon itself
  (exec nsenter --net="/run/netns/$host" sluiced "${flags[@]}" >"$work/daemon.log" 2>&1) &
  daemon=$!
  until_done grep -q '^Try:' "$work/daemon.log" || { cat "$work/daemon.log" >&2; exit 1; }
}

server() { # NETNS PORT LOG: serves $work/www
  (cd "$work/www" && exec nsenter --net="/run/netns/$1" python3 -u -m http.server "$2" >"$3" 2>&1) &
  pids+=("$!")
  until_done grep -q '^Serving' "$3"
}

log_of() { grep -a GET "$1" | tail -n 1; }

say "A client 192.168.50.2 and a host 192.168.50.1 on one wire; the daemon starts on the host"
for ns in "$client" "$host"; do
  ip netns add "$ns"
  ip -n "$ns" link set lo up
done
ip -n "$host" link add up0 type veth peer name eth0 netns "$client"
ip -n "$host" addr add 192.168.50.1/24 dev up0
ip -n "$client" addr add 192.168.50.2/24 dev eth0
ip -n "$host" link set up0 up
ip -n "$client" link set eth0 up
mkdir "$work/www"
echo "hello" >"$work/www/index.html"
truncate -s 200M "$work/www/large"
start_daemon
sed '/^Try:/,$d' "$work/daemon.log"

say "A network, a sandbox, and its port 80 published as port 8080 of the host"
show sluice network create web
show sluice sandbox create "$box"
show sluice connect web "$box" -p 8080:80
show sluice endpoint ls
server "$box" 80 "$work/inside.log"
server "$client" 8000 "$work/outside.log"

say "The client reaches the published port; the server in the sandbox logs the client's own address"
on client "$client" curl -s http://192.168.50.1:8080/
echo "server's log: $(log_of "$work/inside.log")"

say "The sandbox goes out masqueraded: the client's server logs the host's address"
on sandbox "$box" curl -s http://192.168.50.2:8000/
echo "server's log: $(log_of "$work/outside.log")"

say "A service: one address and one name for two backends"
for backend in "$one" "$two"; do
  sluice sandbox create "$backend" >"$work/id"
  sluice connect web "$backend" --name "$backend" >"$work/id"
  mkdir "$work/$backend"
  echo "I am $backend" >"$work/$backend/index.html"
  (cd "$work/$backend" && exec nsenter --net="/run/netns/$backend" python3 -u -m http.server 8080 >"$work/$backend.log" 2>&1) &
  pids+=("$!")
  until_done grep -q '^Serving' "$work/$backend.log"
done
show sluice service create shop --network web --port 80:8080 --backend "$one" --backend "$two"
show sluice service ls
shown "sluice sandbox exec $box -- curl http://shop/        # eight times"
for _ in $(seq 8); do sluice sandbox exec "$box" -- curl -s http://shop/; done | sort | uniq -c

say "Nothing of this is a rule of iptables or nftables: both print nothing"
on host "$host" iptables-save
on host "$host" nft list ruleset

say "The daemon is killed in the middle of a download"
in_ns "$client" curl -s --limit-rate 50M -o /dev/null \
  -w 'the download is complete: %{size_download} bytes in %{time_total} s\n' http://192.168.50.1:8080/large &
download=$!
pids+=("$download")
sleep 1
shown "kill -9 $daemon"
end "$daemon"
daemon=
if sluice status >/dev/null 2>&1; then echo "demo: the daemon still answers" >&2; exit 1; fi
echo "a new connection meanwhile:"
on client "$client" curl -s http://192.168.50.1:8080/
wait "$download"

say "Started again, it adopts what is there"
start_daemon
grep '^  dataplane' "$work/daemon.log"
show sluice status
show sluice conntrack ls

say "Stopped, and every trace removed"
kill "$daemon"
wait "$daemon" 2>/dev/null || true
daemon=
shown "sluiced cleanup --state"
in_ns "$host" sluiced cleanup "${flags[@]}" --state >"$work/cleanup.log"
grep -v '^removed pin' "$work/cleanup.log"
echo "and $(grep -c '^removed pin' "$work/cleanup.log") pins of maps"
on host "$host" ip -br link
