# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Networks, three containers on one and one on the other; containers to one another.
done_by 'network create' sluice network create --ipv6 lan
done_by 'another network' sluice network create other
for box in b1 b2 b3 c1; do sluice sandbox create "$box" >/dev/null; done
done_by 'connect with published ports' sluice connect lan b1 -p 8080:80 -p 6000:7000/udp -p 6001:7001/udp -p 6002:7002
done_by 'connect' sluice connect lan b2
sluice connect lan b3 >/dev/null
sluice connect other c1 >/dev/null
for box in b1 b2; do
  serve "$box" web 80 "$box"
  serve "$box" echo 7000
done
serve b1 stream 7002
serve ext web 8000 ext
serve ext echo 9000
serve ext port 9002
address() { ip -n "$1" -o "-$2" addr show eth0 scope global | awk '{ print $4 }' | cut -d/ -f1; }
B14=$(address b1 4) B16=$(address b1 6)
check 'container to container IPv4' 'b1 saw ::ffff:10\.64\.' get b3 "http://$B14/"
check 'container to container IPv6' 'b1 saw fd' get b3 "http://[$B16]/"
check 'networks are closed to one another' 'timed out|refused|No route|unreachable|Failed to connect' \
  in_ns c1 curl -sS --max-time 8 "http://$B14/"
check 'no way from outside to an address of a container' '100% packet loss' in_ns ext ping -c 1 -W 3 "$B14"
