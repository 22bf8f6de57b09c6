#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many clients in namespaces of their own, at one time.

serve tcp|udp ADDRESS PORT: answers each line with the sender's address and port before it.
ask tcp|udp ADDRESS PORT SPORT NETNS...: one client in each namespace, all bound to SPORT and
open together; prints what each was answered, null where nothing came."""
import ctypes
import json
import os
import selectors
import socket
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def opened(kind, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, KINDS[kind])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def opened_in(netns, kind, address):
    """A socket belongs to the namespace that it was made in."""
    with open(f"/run/netns/{netns}") as file:
        if LIBC.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {netns}")
    return opened(kind, address)


def answer_to(peer, data):
    return f"{peer[0]} {peer[1]} ".encode() + data


def serve(kind, address, port):
    listener = opened(kind, address)
    listener.bind((address, int(port)))
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    if kind == "tcp":
        listener.listen(256)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            if kind == "udp":
                data, peer = sock.recvfrom(99)
                sock.sendto(answer_to(peer, data), peer)
            elif sock is listener:
                selector.register(sock.accept()[0], selectors.EVENT_READ)
            elif data := sock.recv(99):
                sock.sendall(answer_to(sock.getpeername(), data))
            else:
                selector.unregister(sock)
                sock.close()


def ask(kind, address, port, sport, *namespaces):
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    socks = []
    for netns in namespaces:
        sock = opened_in(netns, kind, address)
        sock.bind(("::" if ":" in address else "0.0.0.0", int(sport)))
        sock.setblocking(False)
        sock.connect_ex((address, int(port)))
        socks.append(sock)
    LIBC.setns(own, CLONE_NEWNET)
    answers = []
    for number, sock in enumerate(socks):
        sock.settimeout(5)
        # waits until connected
        selector = selectors.DefaultSelector()
        selector.register(sock, selectors.EVENT_WRITE)
        selector.select(5)
        try:
            sock.sendall(str(number).encode())
        except OSError:
            pass
    for sock in socks:
        try:
            seen, its_port, number = sock.recv(99).decode().split()
            answers.append({"number": int(number), "seen": seen, "port": int(its_port)})
        except OSError:
            answers.append(None)
    print(json.dumps(answers))


globals()[sys.argv[1]](*sys.argv[2:])
