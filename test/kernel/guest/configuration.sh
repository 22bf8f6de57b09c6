#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# configuration.sh NAME: in a guest, a host that is set up in another way than most, and what works there.
# NAME is one of test/kernel/lab/configurations.ts. Where a host cannot do it, one line has to name what
# is missing: then "said LINE" is printed, and the checks end.
# shellcheck source-path=SCRIPTDIR
. "$CHECKOUT/test/kernel/guest/lib.sh"
# What the line names, where a host of this configuration cannot do it.
missing=
unloadable() { for module; do echo "install $module /bin/false"; done >/etc/modprobe.d/lab.conf; }
controllers_of_v1() {
  umount /sys/fs/cgroup
  mount -t tmpfs cgroup /sys/fs/cgroup
  mkdir /sys/fs/cgroup/cpuset
  mount -t cgroup -o cpuset cgroup /sys/fs/cgroup/cpuset
}
with_uplink() {
  make_network
  serve ext web 8000 ext
}

case $1 in
  plain | no-ipv6 | small | possible-cpus) with_uplink ;;
  ipv6-sysctl)
    sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    with_uplink
    ;;
  no-bpffs)
    with_uplink
    umount /sys/fs/bpf
    ;;
  no-modules)
    # those of the network of this check, and then no more
    with_uplink
    sysctl -qw kernel.modules_disabled=1
    missing='bridge|module'
    ;;
  no-veth)
    unloadable veth
    ip netns add host
    ip -n host link set lo up
    ip -n host link add up0 type dummy
    ip -n host addr add "$HOST4/24" dev up0
    ip -n host link set up0 up
    missing=veth
    ;;
  no-conntrack)
    unloadable nf_conntrack
    with_uplink
    ;;
  no-jit)
    with_uplink
    sysctl -qw net.core.bpf_jit_enable=0
    missing=bpf_jit_enable
    ;;
  jit-harden)
    with_uplink
    sysctl -qw net.core.bpf_jit_harden=2
    ;;
  cgroup-v1)
    with_uplink
    controllers_of_v1
    ;;
  cgroup-hybrid)
    with_uplink
    controllers_of_v1
    mkdir /sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    ;;
  no-cgroup)
    with_uplink
    umount /sys/fs/cgroup
    ;;
  lockdown-*)
    mount -t securityfs securityfs /sys/kernel/security
    grep -q "\[${1#lockdown-}\]" /sys/kernel/security/lockdown || echo 'FAIL the daemon starts: the kernel has no lockdown'
    with_uplink
    ;;
  proc-sys-read-only)
    with_uplink
    mount --bind /proc/sys /proc/sys
    mount -o remount,ro,bind /proc/sys
    missing=/proc/sys
    ;;
  br-netfilter)
    with_uplink
    modprobe br_netfilter
    in_ns host nft add table inet policy
    in_ns host nft add chain inet policy forward '{ type filter hook forward priority 0; policy drop; }'
    ;;
  *)
    echo "FAIL the daemon starts: there is no configuration $1"
    exit 1
    ;;
esac
traces >"$WORK/before"

# or_says NAME COMMAND...: it succeeds, or one line that it prints names what is missing
or_says() {
  local name=$1 out
  shift
  echo "check: $name" >&2
  if out=$("$@" 2>&1); then
    echo "ok $name"
    return
  fi
  if [ -n "$missing" ] && [ "$(wc -l <<<"$out")" -le 2 ] && grep -qE -- "$missing" <<<"$out"; then
    echo "said $(head -n 1 <<<"$out")"
  else
    echo "FAIL $name: $(tr '\n' ' ' <<<"$out" | tail -c 400)"
  fi
  echo end
  exit
}
undone() { # rows that are not in the kernel, as status tells
  sluice --format json status |
    python3 -c 'import json, sys; print("\n".join(map(str, json.load(sys.stdin)["problems"])) or "none")'
}
# socket hooks are on cgroup v2 alone: without it the daemon says what the host does not reach
host_or_reason() {
  if sluice status | grep -qE '^socket hooks +yes'; then get host "http://$HOST4:8080/"; else sluice status | grep '^socket hooks'; fi
}
left() { traces | grep -vxFf "$WORK/before" || echo none; }

or_says 'the daemon starts' start_daemon
or_says 'a network' sluice network create lan
check 'a network of both families, or why not' '^[0-9a-f]{64}$|IPv6' sluice network create --ipv6 both
or_says 'a sandbox' sluice sandbox create box
or_says 'a published port' sluice connect lan box -p 8080:80
serve box web 80 box
check 'publish IPv4' "box saw ::ffff:$EXT4|box saw $EXT4" get ext "http://$HOST4:8080/"
check 'masquerade IPv4' "ext saw (::ffff:)?$HOST4" get box "http://$EXT4:8000/"
check 'the host itself, or why not' 'box saw|cgroup' host_or_reason
check 'nothing is left undone' '^none' undone
end TERM "$WORK/daemon"
or_says 'cleanup' in_ns host "$CHECKOUT/bin/sluiced" cleanup "${FLAGS[@]}" --state
soon 'cleanup leaves nothing' '^none' left
echo end
