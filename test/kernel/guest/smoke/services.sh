# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A service of two backends, by its addresses and by its name.
done_by 'service create' sluice service create shop --network lan --port 80 --port 7000/udp --backend lan.b1 --backend lan.b2
vip() { sluice --format json service inspect shop | python3 -c 'import json,sys; print(json.load(sys.stdin)[0][sys.argv[1]])' "$1"; }
V4=$(vip vip) V6=$(vip vip6)
answers() { # URL: who of them answers, within a dozen questions
  local _
  for _ in $(seq 12); do get b3 "$1"; done | awk '{ print $1 }' | sort -u | tr '\n' ' '
}
# flows that a connection of b3 opens in the dataplane: none at the socket, one packet by packet
flows_of() { # URL VIP
  get b3 "$1" >/dev/null
  echo "$(sluice conntrack ls --service shop --address "$2" | grep -c shop) flows"
}
soon 'a VIP spreads over its backends IPv4' 'b1 b2' answers "http://$V4/"
soon 'a VIP spreads over its backends IPv6' 'b1 b2' answers "http://[$V6]/"
check 'a VIP by socket IPv4' '^0 flows' flows_of "http://$V4/" "$V4"
check 'a VIP by socket IPv6' '^0 flows' flows_of "http://[$V6]/" "$V6"
check 'a VIP UDP IPv4' 'same 100' peer b3 ask "$V4" 7000 100
check 'a VIP UDP IPv6' 'same 100' peer b3 ask "$V6" 7000 100
check 'a VIP from the host' 'b[12] saw' get host "http://$V4/"
check 'ping of a VIP IPv4' ' 0% packet loss' in_ns b3 ping -c 1 -W 10 "$V4"
check 'ping of a VIP IPv6' ' 0% packet loss' in_ns b3 ping -c 1 -W 10 "$V6"
check 'a port that a VIP does not have' 'refused|Failed to connect' in_ns b3 curl -sS --max-time 30 "http://$V4:81/"
check 'DNS, a container' "^$B14 " sluice sandbox exec b3 -- getent ahostsv4 b1
check 'DNS, a container IPv6' "^$B16 " sluice sandbox exec b3 -- getent ahostsv6 b1
check 'DNS, a service' "^$V4 " sluice sandbox exec b3 -- getent ahostsv4 shop
check 'conntrack' 'outbound' sluice conntrack ls
collected() { in_ns host curl -s 127.0.0.1:9477/metrics | awk '/^sluice_collector_passes_total/ { print "passes " $2 }'; }
soon 'the collector passes' 'passes [1-9]' collected
