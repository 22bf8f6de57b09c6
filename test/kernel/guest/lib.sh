# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Of the scripts in a guest: the network they work in, a daemon in it, and checks. What a check finds
# is a line of standard output: "ok NAME" or "FAIL NAME: WHY". A name is a literal in single quotes,
# by which test/kernel/lab/checks.ts knows all that there are.
WORK=/tmp/lab
HOST4=192.0.2.1 HOST6=fd77::1 EXT4=192.0.2.2 EXT6=fd77::2
mkdir -p "$WORK"
FLAGS=(
  --socket "$WORK/sluice.sock" --state-dir "$WORK/state" --bpffs /sys/fs/bpf/sluice-lab
  --metrics 127.0.0.1:9477 --no-docker --uplink up0
)

in_ns() { nsenter --net="/run/netns/$1" -- "${@:2}"; }
sluice() { in_ns host "$CHECKOUT/bin/sluice" --socket "$WORK/sluice.sock" "$@"; }
PEERS=$CHECKOUT/test/kernel/guest/peers.py
peer() { in_ns "$1" python3 "$PEERS" "${@:2}"; }
get() { in_ns "$1" curl -sSg --max-time 30 "${@:2}"; }
said() { tr '\n' ' ' <"$1" | tail -c 400; }

# check NAME PATTERN COMMAND...: what the command prints, errors too, has a line that matches
check() {
  local name=$1 pattern=$2 out
  shift 2
  echo "check: $name" >&2
  out=$("$@" 2>&1)
  if grep -qE -- "$pattern" <<<"$out"; then
    echo "ok $name"
  else
    echo "FAIL $name: $(tr '\n' ' ' <<<"$out" | tail -c 400)"
    return 1
  fi
}

# soon NAME PATTERN COMMAND...: as check, of what comes about by itself within three minutes
soon() {
  local until=$((SECONDS + 180))
  while [ $SECONDS -lt $until ] && ! "${@:3}" 2>&1 | grep -qE -- "$2"; do sleep 1; done
  check "$@"
}

# done_by NAME COMMAND...: it succeeds
done_by() {
  local name=$1 out
  shift
  echo "check: $name" >&2
  if out=$("$@" 2>&1); then
    echo "ok $name"
  else
    echo "FAIL $name: exit code $?: $(tr '\n' ' ' <<<"$out" | tail -c 400)"
    return 1
  fi
}

# waits for a line of a file
wait_for() { # FILE PATTERN [PID]
  local _
  for _ in $(seq 600); do
    grep -q -- "$2" "$1" 2>/dev/null && return
    [ -z "${3:-}" ] || kill -0 "$3" 2>/dev/null || return 1
    sleep 0.5
  done
  return 1
}

# serve NETNS ARGUMENTS-OF-PEERS...: returns when it listens
serve() {
  local log=$WORK/peer-$1-$2-$3
  peer "$@" >"$log" 2>&1 &
  wait_for "$log" ready $! || echo "guest: $* does not serve: $(said "$log")" >&2
}

# Process ids are in files: checks run their commands in subshells.
start_daemon() {
  : >"$WORK/log"
  nsenter --net=/run/netns/host "$CHECKOUT/bin/sluiced" "${FLAGS[@]}" "$@" >>"$WORK/log" 2>&1 &
  echo $! >"$WORK/daemon"
  wait_for "$WORK/log" '^Try:' $! || { tail -n 20 "$WORK/log"; return 1; }
}

# end SIGNAL FILE: of the process whose id is in the file; returns when it is gone
end() {
  local pid
  pid=$(cat "$2")
  kill "-$1" "$pid" 2>/dev/null
  while [ "$(ps -o stat= -p "$pid" | cut -c1)" != Z ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
}

# A host with an uplink, and a machine at the other end of it that knows the way to containers.
make_network() {
  local ns
  for ns in host ext; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
  done
  ip -n host link add up0 type veth peer name eth0 netns ext
  ip -n host addr add "$HOST4/24" dev up0
  ip -n ext addr add "$EXT4/24" dev eth0
  # 2>: without IPv6 there is none
  ip -n host addr add "$HOST6/64" dev up0 nodad 2>/dev/null
  ip -n ext addr add "$EXT6/64" dev eth0 nodad 2>/dev/null
  ip -n host link set up0 up
  ip -n ext link set eth0 up
  ip -n ext route add 10.64.0.0/10 via "$HOST4"
}

# What a daemon could leave behind, a line each.
traces() {
  bpftool prog show | grep -oE '^[0-9]+: [a-z_]+ +name [a-z0-9_]+' | sed 's/^/program /'
  bpftool map show | grep -oE '^[0-9]+: [a-z_]+ +name [a-z0-9_]+' | sed 's/^/map /'
  bpftool link show | grep -oE '^[0-9]+: [a-z_0-9]+' | sed 's/^/link /'
  find /sys/fs/bpf -mindepth 1 2>/dev/null | sed 's/^/pin /'
  in_ns host tc qdisc show | grep -E 'clsact|ingress' | sed 's/^/qdisc /'
  in_ns host ip -o link show | awk -F'[:@ ]+' '{ print "interface " $2 }'
  ip netns list | awk '{ print "namespace " $1 }'
  in_ns host sysctl -n net.ipv4.ip_local_reserved_ports | sed 's/^/reserved ports /'
}
