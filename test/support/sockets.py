#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a program of the host sees of its sockets, one JSON line each:
tcp ADDRESS PORT [SOURCE], sendto ADDRESS PORT [SOURCE] [TIMES], connected ADDRESS PORT,
bind tcp|udp ADDRESS PORT [v6only], contend PORT SECONDS, automatic tcp|udp|connect COUNT.
An ADDRESS with a colon takes an IPv6 socket. errno by name where a call fails."""
import errno
import json
import os
import socket
import sys
import time

# Seconds for an answer: tests in which none is to come have little.
PATIENCE = float(os.environ.get("PATIENCE", 10))
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def opened(kind, address):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, KINDS[kind])
    sock.settimeout(PATIENCE)
    return sock


def place(address, port):
    """With the scope of an address that has one."""
    return socket.getaddrinfo(address, int(port), type=socket.SOCK_STREAM)[0][4]


def named(peer):
    return f"{peer[0]} {peer[1]}"


def tcp(address, port, source=None):
    sock = opened("tcp", address)
    if source:
        sock.bind((source, 0))
    sock.connect(place(address, port))
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while data := sock.recv(4096):
        answer += data
    return {"peer": named(sock.getpeername()), "body": answer.split(b"\r\n\r\n", 1)[1].decode()}


def sendto(address, port, source=None, times="1"):
    sock = opened("udp", address)
    if source:
        sock.bind((source, 0))
    for _ in range(int(times)):
        sock.sendto(b"hello", place(address, port))
        data, peer = sock.recvfrom(100)
    return {"from": named(peer), "data": data.decode().split(" ")[-1]}


def connected(address, port):
    sock = opened("udp", address)
    sock.connect(place(address, port))
    sock.send(b"hello")
    data, peer = sock.recvfrom(100)
    return {"from": named(peer), "peer": named(sock.getpeername()), "data": data.decode().split(" ")[-1]}


def bind(kind, address, port, v6only=None):
    sock = opened(kind, address)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if v6only else 0)
    sock.bind((address, int(port)))
    if kind == "tcp":
        sock.listen(1)
    return {"bound": named(sock.getsockname())}


def contend(port, seconds):
    """Takes and leaves the port again and again."""
    print("ready", flush=True)
    end = time.monotonic() + float(seconds)
    taken = refused = 0
    while time.monotonic() < end:
        sock = socket.socket()
        try:
            sock.bind(("0.0.0.0", int(port)))
            sock.listen(1)
            taken += 1
            time.sleep(0.002)
        except OSError:
            refused += 1
        sock.close()
        time.sleep(0.004)
    return {"taken": taken, "refused": refused}


def automatic(kind, count):
    held, ports = [], []
    for _ in range(int(count)):
        sock = socket.socket(socket.AF_INET, KINDS["udp" if kind == "connect" else kind])
        if kind == "connect":
            sock.connect(("192.0.2.1", 9))
        else:
            sock.bind(("0.0.0.0", 0))
        held.append(sock)
        ports.append(sock.getsockname()[1])
    return {"ports": ports}


try:
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
except socket.timeout:
    print(json.dumps({"error": "timeout"}))
except OSError as e:
    print(json.dumps({"error": errno.errorcode.get(e.errno, str(e))}))
