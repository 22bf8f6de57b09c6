#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile senders and the neighbour who measures them; one JSON line at the end of each.
tuples ADDRESS PORT COUNT RATE [FIRST]: one UDP packet from each of COUNT source ports, by raw socket
raw KIND ADDRESS PORT SECONDS RATE: syn, udp (random source ports, and random sources with SPOOF=NET/16
in the environment) or fragment (first fragments only)
ask ADDRESS PORT SECONDS RATE: requests to an echo server over one socket, how many were answered
hold ADDRESS PORT COUNT RATE SECONDS: sockets opened by and by, each asking every second
stream ADDRESS PORT SECONDS: reads a stream of numbered lines; gaps, and the longest pause
"""
import json
import os
import random
import resource
import select
import socket
import struct
import sys
import time


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def own_address(address):
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect((address, 9))
    return probe.getsockname()[0]


def packet(kind, source, target, sport, dport):
    src, dst = socket.inet_aton(source), socket.inet_aton(target)
    if kind == "syn":
        body = struct.pack("!HHIIBBHHH", sport, dport, random.getrandbits(32), 0, 5 << 4, 2, 65535, 0, 0)
        body = body[:16] + struct.pack("!H", checksum(src + dst + struct.pack("!HH", 6, 20) + body)) + body[18:]
        protocol = 6
    else:
        body = struct.pack("!HHHH", sport, dport, 24, 0) + b"x" * 16
        protocol = 17
    # a first fragment: more to come that never does
    offset = 0x2000 if kind == "fragment" else 0
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), random.getrandbits(16), offset, 64, protocol, 0, src, dst)
    return header + body


def paced(rate, seconds=None, count=None):
    """Numbers, at that rate, in bursts of a few milliseconds."""
    begun, n = time.monotonic(), 0
    while count is None or n < count:
        elapsed = time.monotonic() - begun
        if seconds is not None and elapsed >= seconds:
            return
        due = int(elapsed * rate) + 1
        while n < due and (count is None or n < count):
            yield n
            n += 1
        time.sleep(0.002)


def raw_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    return sock


def shoot(packets, address):
    sock, sent = raw_socket(), 0
    for data in packets:
        try:
            sock.sendto(data, (address, 0))
            sent += 1
        except OSError:
            pass
    return {"sent": sent}


def tuples(address, port, count, rate, first="1"):
    source = own_address(address)
    return shoot((packet("udp", source, address, (int(first) + n) % 65535 + 1, int(port))
                  for n in paced(float(rate), count=int(count))), address)


def raw(kind, address, port, seconds, rate):
    spoof, own = os.environ.get("SPOOF"), own_address(address)

    def source():
        return f"{spoof}.{random.randrange(1, 255)}.{random.randrange(1, 255)}" if spoof else own

    return shoot((packet(kind, source(), address, random.randrange(1024, 65535), int(port))
                  for _ in paced(float(rate), seconds=float(seconds))), address)


def ask(address, port, seconds, rate):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, int(port)))
    sock.settimeout(2)
    asked = answered = 0
    for n in paced(float(rate), seconds=float(seconds)):
        text = f"n{n}.".encode()
        sock.send(text)
        asked += 1
        try:
            while text not in sock.recv(200):
                pass
            answered += 1
        except OSError:
            pass
    return {"asked": asked, "answered": answered}


def hold(address, port, count, rate, seconds):
    """Answers how many sockets there were, and of those how many were answered in the last five
    seconds: each asks once a second, and a datagram or two may get lost on a busy machine."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    socks, heard, poll = [], {}, select.poll()
    begun, opened = time.monotonic(), 0
    while time.monotonic() - begun < float(seconds):
        now = time.monotonic()
        if opened < int(count) and opened < (now - begun) * float(rate):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.connect((address, int(port)))
            poll.register(sock, select.POLLIN)
            socks.append((sock, [0.0]))
            heard[sock.fileno()] = (sock, [0.0])
            opened += 1
        for sock, last in socks:
            if now - last[0] >= 1:
                last[0] = now
                try:
                    sock.send(b"x")
                except OSError:
                    pass
        for fd, _ in poll.poll(5):
            sock, at = heard[fd]
            try:
                sock.recv(200)
                at[0] = time.monotonic()
            except OSError:
                pass
    end = time.monotonic()
    return {"held": opened, "answered": sum(1 for _, at in heard.values() if end - at[0] < 5)}


def stream(address, port, seconds):
    sock = socket.create_connection((address, int(port)), timeout=10)
    begun = last = time.monotonic()
    size, pause = 0, 0.0
    while time.monotonic() - begun < float(seconds):
        data = sock.recv(65536)
        if not data:
            return {"bytes": size, "broken": True}
        size += len(data)
        pause = max(pause, time.monotonic() - last)
        last = time.monotonic()
    return {"bytes": size, "broken": False, "pause": pause}


def report(result):
    print(json.dumps(result), flush=True)


report(globals()[sys.argv[1]](*sys.argv[2:]))
