#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many bytes and their digest.

serve ADDRESS PORT: over TCP tells the digest when the sender is done; over UDP acknowledges
each burst, and tells the digest when asked.
tcp ADDRESS PORT MIB, udp ADDRESS PORT MIB: sends so many random MiB, prints both digests.
Over UDP in bursts that the kernel or the device cuts into datagrams (UDP_SEGMENT)."""
import hashlib
import os
import socket
import struct
import sys
import threading

MIB = 1 << 20
UDP_SEGMENT = 103
SIZE = 1200
BURST = 40
SO_RCVBUFFORCE = 33


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def receive(sock):
    digest = hashlib.sha256()
    while data := sock.recv(MIB):
        digest.update(data)
    sock.sendall(digest.hexdigest().encode())
    sock.close()


def acknowledge(sock):
    digest, count = hashlib.sha256(), 0
    while True:
        data, peer = sock.recvfrom(65535)
        if data == b"digest":
            sock.sendto(digest.hexdigest().encode(), peer)
            digest, count = hashlib.sha256(), 0
            continue
        digest.update(data)
        count += 1
        if count % BURST == 0:
            sock.sendto(struct.pack("!I", count), peer)


def serve(address, port):
    datagrams = socket.socket(family(address), socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 * MIB)
    datagrams.bind((address, int(port)))
    threading.Thread(target=acknowledge, args=(datagrams,), daemon=True).start()
    listener = socket.socket(family(address))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    listener.listen(8)
    print("ready", flush=True)
    while True:
        receive(listener.accept()[0])


def tcp(address, port, mib):
    sock, digest = socket.create_connection((address, int(port)), timeout=20), hashlib.sha256()
    for _ in range(int(mib)):
        data = os.urandom(MIB)
        digest.update(data)
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    print(digest.hexdigest(), sock.recv(64, socket.MSG_WAITALL).decode())


def udp(address, port, mib):
    sock, digest = socket.socket(family(address), socket.SOCK_DGRAM), hashlib.sha256()
    sock.settimeout(5)
    sock.connect((address, int(port)))
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, SIZE)
    for burst in range(-(-int(mib) * MIB // (SIZE * BURST))):
        data = os.urandom(SIZE * BURST)
        digest.update(data)
        sock.send(data)
        if struct.unpack("!I", sock.recv(4))[0] != (burst + 1) * BURST:
            sys.exit("datagrams are missing")
    sock.send(b"digest")
    print(digest.hexdigest(), sock.recv(64).decode())


globals()[sys.argv[1]](*sys.argv[2:])
