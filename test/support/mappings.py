#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Both ends of UDP mappings whose life is looked at.

keep ADDRESS PORT SECONDS: sockets on 5501 to 5504 send to the peer once, 5501 and 5502 then
every so many seconds; tells what comes in.
answer PORT HOST KEPT: answers all but 5501, once each; sends to HOST's port KEPT every three
seconds; and to those that standard input names (`send PORT`)."""
import select
import socket
import sys
import time


def bound(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", int(port)))
    return sock


def keep(address, port, seconds):
    peer, every = (address, int(port)), float(seconds)
    socks = {number: bound(number) for number in (5501, 5502, 5503, 5504)}
    for sock in socks.values():
        sock.sendto(b"open", peer)
    for number in (5502, 5503, 5504):
        assert socks[number].recv(99) == b"once"
    print("opened", flush=True)
    due = time.monotonic() + every
    while True:
        ready, _, _ = select.select(list(socks.values()), [], [], max(0, due - time.monotonic()))
        for sock in ready:
            print(f"{sock.getsockname()[1]}: {sock.recv(99).decode()}", flush=True)
        if time.monotonic() >= due:
            due += every
            for number in (5501, 5502):
                socks[number].sendto(b"keep", peer)


def answer(port, host, kept):
    sock, answered = bound(port), set()
    print("ready", flush=True)
    due = time.monotonic() + 3
    while True:
        ready, _, _ = select.select([sock, sys.stdin], [], [], max(0, due - time.monotonic()))
        if sock in ready:
            _, peer = sock.recvfrom(99)
            if peer[1] != 5501 and peer not in answered:
                answered.add(peer)
                sock.sendto(b"once", peer)
        if sys.stdin in ready:
            # unbuffered: select sees what is left in the pipe, not in Python's buffer
            line = b""
            while not line.endswith(b"\n"):
                line += sys.stdin.buffer.raw.read(1)
            sock.sendto(b"late", (host, int(line.split()[1])))
        if time.monotonic() >= due:
            due += 3
            sock.sendto(b"kept", (host, int(kept)))


globals()[sys.argv[1]](*sys.argv[2:])
