#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Backends that say who they are, and clients of a service, which print one JSON line each.
serve NAME PORT: TCP and UDP of both families, a line "NAME CLIENT" for whatever comes.
tcp|udp|connected ADDRESS PORT [COUNT] [SOURCE]: so many connections, datagrams of one socket
that names its peer with each, or UDP sockets that connect.
hold tcp|connected ADDRESS PORT: waits, once connected, for what ends it.
converse ADDRESS PORT: a datagram of one socket for each line that is read.
talk ADDRESS PORT: a request of one TCP connection for each line that is read, until it ends.
load ADDRESS PORT: TCP connections one after another; for each line that is read, who answered
how often since the line before, and errors.
reconnect ADDRESS PORT ADDRESS PORT: one UDP socket that connects to both in turn."""
import errno
import json
import os
import select
import socket
import sys
import threading

# Seconds for an answer: tests in which none is to come have little.
PATIENCE = float(os.environ.get("PATIENCE", 10))
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "connected": socket.SOCK_DGRAM}


def text(peer):
    return f"{peer[0]} {peer[1]}"


def both(kind, port):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", int(port)))
    return sock


def serve(name, port):
    def answer(peer):
        return f"{name} {peer[0].removeprefix('::ffff:')}\n".encode()

    def one(sock, peer):
        try:
            while sock.recv(100):
                sock.sendall(answer(peer))
        except OSError:
            pass
        sock.close()

    def datagrams():
        while True:
            _, peer = udp.recvfrom(100)
            udp.sendto(answer(peer), peer)

    udp = both(socket.SOCK_DGRAM, port)
    tcp = both(socket.SOCK_STREAM, port)
    tcp.listen(64)
    threading.Thread(target=datagrams, daemon=True).start()
    print("ready", flush=True)
    while True:
        threading.Thread(target=one, args=tcp.accept(), daemon=True).start()


def opened(kind, address, source=None):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, KINDS[kind])
    sock.settimeout(PATIENCE)
    if source:
        sock.bind((source, 0))
    return sock


def asked(sock):
    sock.send(b"who\n")
    return sock.recv(100).decode().split()


def many(kind, address, port, count="1", source=None):
    out = {"names": [], "clients": set(), "peers": set()}
    shared = opened(kind, address, source) if kind == "udp" else None
    for _ in range(int(count)):
        if shared:
            shared.sendto(b"who\n", (address, int(port)))
            data, peer = shared.recvfrom(100)
            name, client = data.decode().split()
        else:
            sock = opened(kind, address, source)
            sock.connect((address, int(port)))
            name, client = asked(sock)
            peer = sock.getpeername()
            sock.close()
        out["names"].append(name)
        out["clients"].add(client)
        out["peers"].add(text(peer))
    return {key: sorted(value) if isinstance(value, set) else value for key, value in out.items()}


def hold(kind, address, port):
    sock = opened(kind, address)
    sock.connect((address, int(port)))
    print(json.dumps({"name": asked(sock)[0]}), flush=True)
    sock.settimeout(30)
    return {"ended": sock.recv(100).decode()}


def converse(address, port):
    sock = opened("udp", address)
    for _ in sys.stdin:
        try:
            sock.sendto(b"who\n", (address, int(port)))
            print(sock.recvfrom(100)[0].decode().split()[0], flush=True)
        except OSError as e:
            print(errno.errorcode.get(e.errno, "timeout"), flush=True)


def talk(address, port):
    sock = opened("tcp", address)
    sock.connect((address, int(port)))
    for _ in sys.stdin:
        try:
            print((asked(sock) or ["closed"])[0], flush=True)
        except OSError as e:
            print(errno.errorcode.get(e.errno, "timeout"), flush=True)
            return


def load(address, port):
    out = {"names": {}, "errors": {}}
    while True:
        try:
            with opened("tcp", address) as sock:
                # a SYN that is lost is sent again after one second
                sock.settimeout(5)
                sock.connect((address, int(port)))
                kind, of = "names", asked(sock)[0]
        except OSError as e:
            kind, of = "errors", errno.errorcode.get(e.errno, "timeout")
        except IndexError:
            kind, of = "errors", "closed"
        out[kind][of] = out[kind].get(of, 0) + 1
        if select.select([sys.stdin], [], [], 0.002)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps(out), flush=True)
            out = {"names": {}, "errors": {}}


def reconnect(*places):
    sock = opened("udp", places[0])
    peers = []
    for at in range(0, len(places), 2):
        sock.connect((places[at], int(places[at + 1])))
        asked(sock)
        peers.append(text(sock.getpeername()))
    return {"peers": peers}


COMMANDS = {"serve": serve, "hold": hold, "converse": converse, "talk": talk, "load": load, "reconnect": reconnect}

try:
    command, *rest = sys.argv[1:]
    answer = COMMANDS[command](*rest) if command in COMMANDS else many(command, *rest)
    if answer is not None:
        print(json.dumps(answer))
except socket.timeout:
    print(json.dumps({"error": "timeout"}))
except OSError as e:
    print(json.dumps({"error": errno.errorcode.get(e.errno, str(e))}))
