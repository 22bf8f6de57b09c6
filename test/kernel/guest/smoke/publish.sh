# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Published ports, from outside and from the host itself.
check 'publish IPv4' "b1 saw ::ffff:$EXT4" get ext "http://$HOST4:8080/"
check 'publish IPv6' "b1 saw $EXT6" get ext "http://[$HOST6]:8080/"
check 'publish UDP IPv4' 'same 100' peer ext ask "$HOST4" 6000 100
check 'publish UDP IPv6' 'same 100' peer ext ask "$HOST6" 6000 100
check 'the host itself IPv4' 'b1 saw' get host "http://$HOST4:8080/"
check 'the host itself IPv6' 'b1 saw' get host "http://[$HOST6]:8080/"
check 'the host by 127.0.0.1' 'b1 saw' get host http://127.0.0.1:8080/
check 'the host by ::1' 'b1 saw' get host 'http://[::1]:8080/'
check 'the host UDP' 'same 100' peer host ask "$HOST4" 6000 100
check 'a published port from a container' 'b1 saw' get b3 "http://$HOST4:8080/"
check 'nobody binds a published port' 'in use' in_ns host python3 -c 'import socket; socket.socket().bind(("0.0.0.0", 8080))'
check 'ICMP error of a published port IPv4' ECONNREFUSED peer ext ask "$HOST4" 6001 10
check 'ICMP error of a published port IPv6' ECONNREFUSED peer ext ask "$HOST6" 6001 10
check 'the uplink by XDP' '"mode":[12]' in_ns host ip -j -d link show up0
