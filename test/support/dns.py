# SPDX-License-Identifier: Apache-2.0
"""dns.py LOG ADDRESS...: a name server on port 53 of each address, by UDP and TCP, that appends what it is asked.

What it answers with is in the name: many.* has 100 addresses, nx.* does not exist, servfail.*
and silent.* are what they say, forged.* is answered three times, the first two by nobody in
particular; everything else is 203.0.113.9. By UDP it sends no more than the question allows.
"""
import socket
import struct
import sys
import threading

A = 1
OPT = 41


def parse(message):
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    kind = struct.unpack_from(">H", message, at + 1)[0]
    end = at + 5
    limit = 512
    if struct.unpack_from(">H", message, 10)[0] and struct.unpack_from(">H", message, end + 1)[0] == OPT:
        limit = struct.unpack_from(">H", message, end + 3)[0]
    return ".".join(labels), kind, message[12:end], limit


def answer(message, transport, log):
    """Messages to send, in this order."""
    name, kind, question, limit = parse(message)
    with open(sys.argv[1], "a") as file:
        file.write(f"{log} {transport} {name} {kind}\n")
    word = name.lower().split(".")[0]
    if word == "silent":
        return []
    rcode = {"nx": 3, "servfail": 2}.get(word, 0)
    count = 0 if rcode or kind != A else 100 if word == "many" else 1
    record = lambda i: b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + bytes([203, 0, 113, 9 + i])
    body = question + b"".join(record(i) for i in range(count))
    flags = 0x8180 | rcode
    if transport == "udp" and 12 + len(body) > limit:
        body, count, flags = question, 0, flags | 0x0200
    header = lambda id, count: struct.pack(">HHHHHH", id, flags, 1, count, 0, 0)
    own = struct.unpack_from(">H", message)[0]
    right = header(own, count) + body
    if word != "forged":
        return [right]
    other = bytes([len("other")]) + b"other\0" + question[-4:]
    evil = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 4) + bytes([6, 6, 6, 6])
    return [header(own ^ 1, 1) + question + evil, header(own, 1) + other + evil, right]


def udp(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    while True:
        message, peer = sock.recvfrom(65535)
        try:
            replies = answer(message, "udp", address)
        except (IndexError, UnicodeDecodeError, struct.error):
            continue
        for reply in replies:
            sock.sendto(reply, peer)


def converse(connection, address):
    with connection:
        stream = connection.makefile("rb")
        while length := stream.read(2):
            for reply in answer(stream.read(struct.unpack(">H", length)[0]), "tcp", address)[-1:]:
                connection.sendall(struct.pack(">H", len(reply)) + reply)


def tcp(address):
    server = socket.create_server((address, 53))
    while True:
        connection, _ = server.accept()
        threading.Thread(target=converse, args=(connection, address), daemon=True).start()


threads = [threading.Thread(target=serve, args=(address,)) for address in sys.argv[2:] for serve in (udp, tcp)]
for thread in threads:
    thread.start()
print("ready", flush=True)
