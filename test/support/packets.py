#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Packets for the tests. `decode FILE` prints a capture as JSON, every checksum
verified; `send IFACE` reads scapy expressions, one a line, and sends each."""
import ipaddress
import json
import logging
import struct
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import *  # noqa: E402,F401,F403: the expressions use what they like

NAMES = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp6"}
HEADERS = {6: 20, 17: 8, 1: 8, 58: 8}
EXTENSIONS = (0, 43, 60)
ERRORS = {1: (3, 11, 12), 58: (1, 2, 3, 4)}


def total(data):
    """RFC 1071; 0 over data with a right checksum in it."""
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value > 0xFFFF:
        value = (value & 0xFFFF) + (value >> 16)
    return ~value & 0xFFFF


def text(data):
    return str(ipaddress.ip_address(data))


def describe_ip(data):
    """From the network header on; what an error quotes may end early."""
    out = {}
    if data[0] >> 4 == 4:
        header, whole = (data[0] & 15) * 4, struct.unpack("!H", data[2:4])[0]
        flags, protocol = struct.unpack("!H", data[6:8])[0], data[9]
        source, destination = data[12:16], data[16:20]
        out.update(ttl=data[8], id=struct.unpack("!H", data[4:6])[0], tos=data[1], df=bool(flags & 0x4000))
        sums, fragment = total(data[:header]) == 0, bool(flags & 0x3FFF)
    else:
        header, whole, protocol = 40, 40 + struct.unpack("!H", data[4:6])[0], data[6]
        source, destination = data[8:24], data[24:40]
        out.update(ttl=data[7], tos=struct.unpack("!H", data[0:2])[0] >> 4 & 255)
        out["label"] = struct.unpack("!I", data[0:4])[0] & 0xFFFFF
        extensions = []
        while protocol in EXTENSIONS:
            extensions.append(protocol)
            protocol, header = data[header], header + 8 + 8 * data[header + 1]
        out["extensions"] = extensions
        sums, fragment = True, protocol == 44
    out.update(src=text(source), dst=text(destination), sumsOk=sums)
    body = data[header:whole]
    if fragment:
        out["fragment"] = True
    if fragment or protocol not in NAMES or len(body) < 8:
        return out
    out.update(protocol=NAMES[protocol])
    if len(data) >= whole and not (protocol == 17 and len(source) == 4 and body[6:8] == b"\0\0"):
        pseudo = b"" if protocol == 1 else source + destination + struct.pack("!II", len(body), protocol)
        out["sumsOk"] = sums and total(pseudo + body) == 0
    if protocol in (6, 17):
        out["sport"], out["dport"] = struct.unpack("!HH", body[:4])
    if protocol == 17:
        out["sum"] = struct.unpack("!H", body[6:8])[0]
    if protocol == 6 and len(body) >= 20:
        out["seq"], out["ack"] = struct.unpack("!II", body[4:12])
        out["flags"] = "".join(name for bit, name in enumerate("FSRPAUEC") if body[13] & 1 << bit)
        out["sum"] = struct.unpack("!H", body[16:18])[0]
        out["payload"] = body[(body[12] >> 4) * 4 :].hex()
    else:
        out["payload"] = body[HEADERS[protocol] :].hex()
    if protocol in ERRORS:
        out.update(icmpType=body[0], icmpCode=body[1])
        if body[0] in ERRORS[protocol]:
            out.update(quoted=describe_ip(body[8:]), mtu=struct.unpack("!I", body[4:8])[0])
        else:
            out["icmpId"] = struct.unpack("!H", body[4:6])[0]
    return out


def describe(packet):
    out = {"time": float(packet.time), "length": len(packet)}
    if Ether in packet:
        out.update(ethSrc=packet[Ether].src, ethDst=packet[Ether].dst, type=packet[Ether].type)
    if ARP in packet:
        out.update(arp={"op": packet[ARP].op, "from": packet[ARP].psrc, "to": packet[ARP].pdst})
    if IP in packet or IPv6 in packet:
        out.update(describe_ip(raw(packet)[14 if Ether in packet else 0 :]))
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
