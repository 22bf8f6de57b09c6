#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Raw sockets in many network namespaces, held by one process. The first line
of stdin is {"stations": {NAME: [NETNS, IFACE]}, "host": NETNS}; each further
one is a command, answered by a line: {"send": [[NAME, HEX]…], "quiet": SECONDS}
sends and answers what came to any station until it was quiet that long, as
[NAME, HEX, WHOLE] (WHOLE: the kernel has filled the checksum in), and how many
packets the host's conntrack has found invalid so far; {"flush": true} empties
that conntrack."""
import ctypes
import json
import os
import select
import socket
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4
CSUM_NOT_READY = 8
NETLINK_NETFILTER, CT_DELETE, REQUEST_ACK = 12, 1 << 8 | 2, 1 | 4
libc = ctypes.CDLL(None, use_errno=True)


def enter(netns):
    fd = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET):
        sys.exit(f"{netns}: errno {ctypes.get_errno()}")
    os.close(fd)


def station(netns, iface):
    enter(netns)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.bind((iface, ETH_P_ALL))
    s.setblocking(False)
    return s


def invalid(stat):
    """The column of /proc/net/stat/nf_conntrack, over all CPUs."""
    stat.seek(0)
    names, *cpus = (line.split() for line in stat.read().splitlines())
    return sum(int(cpu[names.index("invalid")], 16) for cpu in cpus)


def receive(name, s, got):
    while True:
        try:
            data, ancillary, _, sender = s.recvmsg(65536, 256)
        except BlockingIOError:
            return
        if sender[2] == PACKET_OUTGOING:
            continue
        status = struct.unpack_from("<I", ancillary[0][2])[0] if ancillary else 0
        got.append([name, data.hex(), not status & CSUM_NOT_READY])


def main():
    spec = json.loads(sys.stdin.readline())
    stations = {name: station(*at) for name, at in spec["stations"].items()}
    names = {s: name for name, s in stations.items()}
    enter(spec["host"])
    stat = open("/proc/self/net/stat/nf_conntrack", encoding="ascii")
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    netlink.bind((0, 0))
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        got = []
        for name, s in stations.items():
            receive(name, s, [])
        if command.get("flush"):
            netlink.send(struct.pack("=IHHIIBBH", 20, CT_DELETE, REQUEST_ACK, 1, 0, 0, 0, 0))
            netlink.recv(4096)
        for name, data in command.get("send", []):
            stations[name].send(bytes.fromhex(data))
        quiet = command.get("quiet", 0)
        last = time.monotonic()
        while quiet and (left := last + quiet - time.monotonic()) > 0:
            for s in select.select(list(names), [], [], left)[0]:
                receive(names[s], s, got)
                last = time.monotonic()
        print(json.dumps({"got": got, "invalid": invalid(stat)}), flush=True)


main()
