# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Containers to the world.
unresolved() { # FAMILY ADDRESS: the first packet goes to a neighbour that the host does not know
  in_ns host ip "-$1" neigh flush to "$2" dev up0
  ! in_ns host ip "-$1" neigh show to "$2" dev up0 nud reachable | grep -q . || echo 'still there'
  peer b1 ask "$2" 9000 10
}
check 'a neighbour not yet known IPv4' 'same 10' unresolved 4 "$EXT4"
check 'a neighbour not yet known IPv6' 'same 10' unresolved 6 "$EXT6"
check 'masquerade IPv4' "ext saw ::ffff:$HOST4" get b1 "http://$EXT4:8000/"
check 'masquerade IPv6' "ext saw $HOST6" get b1 "http://[$EXT6]:8000/"
check 'ping IPv4' ' 0% packet loss' in_ns b1 ping -c 2 -W 10 "$EXT4"
check 'ping IPv6' ' 0% packet loss' in_ns b1 ping -c 2 -W 10 "$EXT6"
check 'ICMP error of a masqueraded flow IPv4' ECONNREFUSED peer b1 ask "$EXT4" 9001 10
check 'ICMP error of a masqueraded flow IPv6' ECONNREFUSED peer b1 ask "$EXT6" 9001 10
same_port() { # ADDRESS: what port two containers with the same one are seen with
  local box
  for box in b1 b2; do peer "$box" ask "$1" 9002 1 5555; done | sed -n 's/^differs: \([0-9]*\) .*/\1/p' |
    sort -u | wc -l
}
check 'one source port of two containers IPv4' '^2$' same_port "$EXT4"
check 'one source port of two containers IPv6' '^2$' same_port "$EXT6"
# forwarding heeds the MTU of a route only where it is locked
in_ns host ip route add "$EXT4/32" dev up0 mtu lock 1300
in_ns host ip -6 route add "$EXT6/128" dev up0 mtu lock 1300
check 'path MTU IPv4' EMSGSIZE peer b1 oversize "$EXT4" 9000 1400
check 'path MTU IPv6' EMSGSIZE peer b1 oversize "$EXT6" 9000 1400
in_ns host ip route del "$EXT4/32" dev up0
in_ns host ip -6 route del "$EXT6/128" dev up0
