# SPDX-License-Identifier: Apache-2.0
"""Probes of what must not pass.

  probe.py send DEV RATE FRAME...   frames in hexadecimal, by turns, RATE of each a second
  probe.py see DEV MAGIC...         counts the frames that hold a magic

Each says `ready`, and at SIGTERM one line of JSON.
"""
import json
import signal
import socket
import sys
import time

stopped = False


def stop(*_):
    global stopped
    stopped = True


signal.signal(signal.SIGTERM, stop)
mode, device = sys.argv[1:3]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3 if mode == 'see' else 0))
s.bind((device, 3 if mode == 'see' else 0))

if mode == 'send':
    rate, frames = int(sys.argv[3]), [bytes.fromhex(f) for f in sys.argv[4:]]
    print('ready', flush=True)
    sent, start = 0, time.monotonic()
    while not stopped:
        for frame in frames:
            try:
                s.send(frame)
                sent += 1
            except OSError:  # the link is down or gone meanwhile
                pass
        start += 1 / rate
        time.sleep(max(0, start - time.monotonic()))
    print(json.dumps({'sent': sent}), flush=True)
else:
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    s.settimeout(0.1)
    magics = {m: m.encode() for m in sys.argv[3:]}
    seen = {}
    print('ready', flush=True)
    while not stopped:
        try:
            frame, where = s.recvfrom(65535)
        except OSError:
            continue
        if where[2] == socket.PACKET_OUTGOING if hasattr(socket, 'PACKET_OUTGOING') else where[2] == 4:
            continue
        for name, magic in magics.items():
            if magic in frame:
                seen[name] = seen.get(name, 0) + 1
    print(json.dumps(seen), flush=True)
