# SPDX-License-Identifier: Apache-2.0
"""Asks the resolver inside of a sandbox COUNT times for a name; prints a JSON array of milliseconds."""
import json
import socket
import struct
import sys
import time

name, count = sys.argv[1], int(sys.argv[2])
question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack(">HH", 1, 1)
times = []
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(2)
    asking.connect(("127.0.0.11", 53))
    for i in range(count):
        begun = time.monotonic()
        asking.send(struct.pack(">HHHHHH", i, 0x0100, 1, 0, 0, 0) + question)
        answer = asking.recv(2048)
        times.append((time.monotonic() - begun) * 1000)
        if struct.unpack(">H", answer[6:8])[0] != 1:
            sys.exit(f"{name} has no address")
print(json.dumps(times))
