#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Large datagrams for the tests, and their fragments.

serve PORT            tells the digest of each datagram, and sends it back
ask ADDRESS PORT SIZE tells the digests of what it sent and of what came back
send IFACE MAC ...    sends the fragments of a datagram in an order of its own
verify FILE           puts the fragments of a capture together; JSON
"""
import hashlib
import json
import logging
import os
import random
import socket
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (  # noqa: E402
    IP,
    UDP,
    Ether,
    IPv6,
    IPv6ExtHdrFragment,
    Raw,
    checksum,
    conf,
    raw,
    rdpcap,
    sendp,
)

LARGEST = 65535


def digest(data):
    return hashlib.sha256(data).hexdigest()


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(port):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind(("::", int(port)))
    print("ready", flush=True)
    while True:
        data, peer = sock.recvfrom(LARGEST)
        print(digest(data), len(data), peer[0].removeprefix("::ffff:"), flush=True)
        sock.sendto(data, peer)


def ask(address, port, size, df="default"):
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    sock.settimeout(5)
    if df == "off":  # IP_MTU_DISCOVER: IP_PMTUDISC_DONT
        sock.setsockopt(socket.IPPROTO_IP, 10, 0)
    sock.connect((address, int(port)))
    data = os.urandom(int(size))
    print(digest(data), flush=True)
    sock.send(data)
    try:
        print(digest(sock.recv(LARGEST)), flush=True)
    except OSError:
        print("nothing", flush=True)


def pieces(packet, size):
    """The fragments of an IP packet, `size` bytes of payload each."""
    six = IPv6 in packet
    payload = raw(packet.payload)
    ident = random.getrandbits(31 if six else 15)
    out = []
    for offset in range(0, len(payload), size):
        part, more = Raw(payload[offset : offset + size]), int(offset + size < len(payload))
        if six:
            head = IPv6(src=packet.src, dst=packet.dst)
            out.append(head / IPv6ExtHdrFragment(nh=17, offset=offset // 8, m=more, id=ident) / part)
        else:
            head = IP(src=packet.src, dst=packet.dst, proto=17, id=ident, flags=more, frag=offset // 8)
            out.append(head / part)
    return out


def send(iface, mac, source, target, sport, dport, size, order):
    conf.verb = 0
    data = os.urandom(int(size))
    head = IPv6(src=source, dst=target) if ":" in target else IP(src=source, dst=target)
    packet = head.__class__(raw(head / UDP(sport=int(sport), dport=int(dport)) / Raw(data)))
    parts = pieces(packet, 1400)
    if order == "reversed":
        parts.reverse()
    elif order == "shuffled":
        random.shuffle(parts)
    elif order == "overlapping":
        torn = parts[1].copy()
        torn.frag -= 8
        parts.insert(1, torn)
    elif order == "first-only":
        parts = [part for _ in range(2000) for part in pieces(packet, 1400)[:1]]
    sendp([Ether(dst=mac) / part for part in parts], iface=iface)
    print(digest(data))


def sums_ok(ip, protocol, whole):
    if isinstance(ip, IPv6):
        pseudo = socket.inet_pton(socket.AF_INET6, ip.src) + socket.inet_pton(socket.AF_INET6, ip.dst)
        pseudo += len(whole).to_bytes(4, "big") + bytes([0, 0, 0, protocol])
    elif protocol == 1:
        pseudo = b""
    else:
        pseudo = socket.inet_aton(ip.src) + socket.inet_aton(ip.dst)
        pseudo += bytes([0, protocol]) + len(whole).to_bytes(2, "big")
    return checksum(pseudo + whole) == 0


def part_of(packet):
    """(ip, key, offset, more, bytes, protocol) of a packet, whole ones included; or None."""
    if IPv6 in packet:
        ip = packet[IPv6]
        if IPv6ExtHdrFragment in packet:
            header = packet[IPv6ExtHdrFragment]
            key = (ip.src, ip.dst, header.id)
            return ip, key, header.offset * 8, header.m, raw(header.payload), header.nh
        return ip, (ip.src, ip.dst, id(packet)), 0, 0, raw(ip.payload), ip.nh
    if IP in packet:
        ip = packet[IP]
        data = raw(packet)[14:][ip.ihl * 4 : ip.len]
        return ip, (ip.src, ip.dst, ip.id, ip.proto), ip.frag * 8, int(ip.flags.MF), data, ip.proto
    return None


def ip_length(ip):
    return ip.plen + 40 if isinstance(ip, IPv6) else ip.len


def header_ok(ip):
    return isinstance(ip, IPv6) or checksum(raw(ip)[: ip.ihl * 4]) == 0


def verify(path):
    datagrams = {}
    for packet in rdpcap(path):
        part = part_of(packet)
        if part:
            datagrams.setdefault(part[1], []).append(part)
    out = []
    for key, parts in datagrams.items():
        offsets = [p[2] for p in parts]
        ordered = sorted(parts, key=lambda p: p[2])
        whole = b"".join(p[4] for p in ordered)
        ip, protocol = ordered[0][0], ordered[0][5]
        contiguous = all(a[2] + len(a[4]) == b[2] for a, b in zip(ordered, ordered[1:]))
        entry = {"src": key[0], "dst": key[1], "protocol": protocol, "fragments": len(parts)}
        entry["inOrder"] = offsets == sorted(offsets)
        entry["whole"] = contiguous and offsets and min(offsets) == 0 and not ordered[-1][3]
        entry["largest"] = max(ip_length(p[0]) for p in parts)
        entry["hops"] = sorted({p[0].hlim if isinstance(p[0], IPv6) else p[0].ttl for p in parts})
        if entry["whole"]:
            entry["sumsOk"] = sums_ok(ip, protocol, whole) and all(header_ok(p[0]) for p in parts)
            entry["sport"] = int.from_bytes(whole[0:2], "big")
            entry["dport"] = int.from_bytes(whole[2:4], "big")
            entry["digest"] = digest(whole[8:])
        out.append(entry)
    json.dump(out, sys.stdout)


globals()[sys.argv[1]](*sys.argv[2:])
