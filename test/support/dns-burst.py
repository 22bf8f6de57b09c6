# SPDX-License-Identifier: Apache-2.0
"""Many questions at once, and a name server that takes its time.

dns-burst.py serve SECONDS ADDRESS: answers each question 192.0.2.53 so much later, by UDP and TCP;
    names below cut.example are cut by UDP, below silent.example not answered. A line of its input
    makes it tell how many questions it had and how many different ones, and from how many ports.
dns-burst.py ask COUNT SECONDS NAME [tcp]: so many questions evenly within that time, %d in NAME is the
    number, and each in letters of its own; tells what came back within 6 s of the last.
dns-burst.py flood NAME: as many as it can, until its input ends; tells how many when it ends.
dns-burst.py deaf NAME: asks by one TCP connection and reads nothing, until it cannot send for 1 s, or has
    sent 16 MB; tells how much it could.
"""
import collections
import heapq
import json
import random
import resource
import select
import socket
import struct
import sys
import threading
import time

SERVER = ("127.0.0.11", 53)


def question(number, name):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack(">HHHHHH", number & 0xFFFF, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def name_of(message):
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), at + 5


def answer(message, cut=False):
    _, end = name_of(message)
    record = b"" if cut else b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + bytes([192, 0, 2, 53])
    counts = struct.pack(">HHHH", 1, 0 if cut else 1, 0, 0)
    return message[:2] + (b"\x83\x80" if cut else b"\x81\x80") + counts + message[12:end] + record


def serve(delay, address):
    delay = float(delay)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    udp.bind((address, 53))
    tcp = socket.create_server((address, 53), backlog=4096)
    asked, ports, due = collections.Counter(), set(), []

    def converse(connection):
        with connection:
            stream = connection.makefile("rb")
            while length := stream.read(2):
                message = stream.read(struct.unpack(">H", length)[0])
                time.sleep(delay)
                reply = answer(message)
                connection.sendall(struct.pack(">H", len(reply)) + reply)

    def accept():
        while True:
            connection, _ = tcp.accept()
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print("ready", flush=True)
    while True:
        wait = max(0, due[0][0] - time.monotonic()) if due else None
        readable, _, _ = select.select([udp, sys.stdin], [], [], wait)
        if udp in readable:
            message, peer = udp.recvfrom(4096)
            name = name_of(message)[0].lower()
            asked[name] += 1
            ports.add(peer[1])
            if not name.endswith("silent.example"):
                heapq.heappush(due, (time.monotonic() + delay, len(asked), message, peer))
        if sys.stdin in readable:
            if not sys.stdin.readline():
                return
            print(json.dumps({"asked": sum(asked.values()), "names": len(asked), "ports": len(ports)}), flush=True)
            asked, ports = collections.Counter(), set()
        while due and due[0][0] <= time.monotonic():
            _, _, message, peer = heapq.heappop(due)
            udp.sendto(answer(message, name_of(message)[0].lower().endswith("cut.example")), peer)


def tell(message, asked):
    if not message:
        return "closed"
    if message[:2] != asked[:2] or message[12 : len(asked)] != asked[12:]:
        return "other"
    return "answered" if message[3] & 15 == 0 and message[7] else f"rcode{message[3] & 15}"


def ask(count, seconds, name, transport="udp"):
    count, begun = int(count), time.monotonic()
    random.seed(count)
    told, left, poll = collections.Counter(), {}, select.poll()

    def receive(wait):
        for fd, _ in poll.poll(wait):
            sock, sent = left.pop(fd)
            poll.unregister(fd)
            message = sock.recv(4096)
            told[tell(message[2:] if transport == "tcp" else message, sent)] += 1
            sock.close()

    for i in range(count):
        text = name.replace("%d", str(i))
        sent = question(i, "".join(random.choice((c.upper(), c)) for c in text))
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM)
        sock.connect(SERVER)
        sock.send((struct.pack(">H", len(sent)) if transport == "tcp" else b"") + sent)
        left[sock.fileno()] = sock, sent
        poll.register(sock, select.POLLIN)
        while (wait := begun + (i + 1) * float(seconds) / count - time.monotonic()) > 0:
            receive(wait * 1000)
    end = time.monotonic() + 6
    while left and time.monotonic() < end:
        receive(200)
    told["silence"] = len(left)
    print(json.dumps(+told))


def flood(name):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(SERVER)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    sent = 0
    while not ended.is_set():
        for _ in range(64):
            try:
                sock.send(question(sent, name.replace("%d", str(sent))))
            except OSError:
                continue
            sent += 1
        if sent == 64:
            print("flooding", flush=True)
    print(sent, flush=True)


def deaf(name):
    sock = socket.create_connection(SERVER)
    sock.settimeout(1)
    message = question(7, name)
    chunk = (struct.pack(">H", len(message)) + message) * 256
    sent = 0
    try:
        while sent < 16 << 20:
            sent += sock.send(chunk)
    except TimeoutError:
        pass
    print(sent)


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, hard), hard))
{"serve": serve, "ask": ask, "flood": flood, "deaf": deaf}[sys.argv[1]](*sys.argv[2:])
