#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Packets for the tests. `decode FILE` prints a capture as JSON, every checksum
verified; `send IFACE` reads scapy expressions, one a line, and sends each."""
import json
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import ARP, ICMP, IP, TCP, UDP, Ether, Raw, conf, raw, rdpcap, sendp  # noqa: E402,F401


def checksum_ok(packet, layer, field):
    copy = packet.copy()
    sent = getattr(copy[layer], field)
    if layer is UDP and sent == 0:
        return True
    delattr(copy[layer], field)
    # as bytes and back: scapy computes the field when it builds
    return getattr(copy.__class__(raw(copy))[layer], field) == sent


def describe(packet):
    out = {"time": float(packet.time), "length": len(packet)}
    if Ether in packet:
        out.update(ethSrc=packet[Ether].src, ethDst=packet[Ether].dst, type=packet[Ether].type)
    if ARP in packet:
        out.update(arp={"op": packet[ARP].op, "from": packet[ARP].psrc, "to": packet[ARP].pdst})
    if IP not in packet:
        return out
    ip = packet[IP]
    out.update(src=ip.src, dst=ip.dst, ttl=ip.ttl, id=ip.id, tos=ip.tos, df="DF" in str(ip.flags))
    out["sumsOk"] = checksum_ok(packet, IP, "chksum")
    for layer, name in ((TCP, "tcp"), (UDP, "udp"), (ICMP, "icmp")):
        if layer not in packet:
            continue
        out["protocol"] = name
        out["sumsOk"] = out["sumsOk"] and checksum_ok(packet, layer, "chksum")
        out["payload"] = bytes(packet[layer].payload).hex()
        if layer is ICMP:
            out.update(icmpType=packet[ICMP].type, icmpCode=packet[ICMP].code)
            out["icmpId"] = getattr(packet[ICMP], "id", None)
        else:
            out.update(sport=packet[layer].sport, dport=packet[layer].dport, sum=packet[layer].chksum)
        if layer is TCP:
            out.update(flags=str(packet[TCP].flags), seq=packet[TCP].seq, ack=packet[TCP].ack)
        break
    return out


def main():
    command, argument = sys.argv[1:3]
    if command == "decode":
        json.dump([describe(p) for p in rdpcap(argument)], sys.stdout)
    elif command == "send":
        conf.verb = 0
        # the expressions are those of the tests themselves
        sendp([eval(line) for line in sys.stdin if line.strip()], iface=argument)
    else:
        sys.exit("usage: packets.py decode FILE | send IFACE")


main()
