# SPDX-License-Identifier: Apache-2.0
"""udp-stay.py [--again] ADDRESS PORT [SOURCE]: one connected UDP socket that asks ten times a second, whatever it is told.

Prints who answers whenever that changes: the first word of the answer, "nobody" after 0.4 s without one. --again:
makes another socket after an error other than ECONNREFUSED, which says that nobody is there.
"""
import socket
import sys
import time

again = sys.argv[1] == "--again"
address, port, *source = sys.argv[2 if again else 1 :]


def connected():
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    if source:
        made.bind((source[0], 0))
    made.setblocking(False)
    made.connect((address, int(port)))
    return made


sock = connected()
said, heard = None, time.monotonic()
number = 0
while True:
    number += 1
    try:
        sock.send(b"%d" % number)
    except ConnectionRefusedError:
        pass
    except OSError:
        if again:
            sock = connected()
    time.sleep(0.1)
    who = None
    try:
        while True:
            who = sock.recv(200).split()[0].decode()
            heard = time.monotonic()
    except OSError:
        pass
    if who is None and time.monotonic() - heard > 0.4:
        who = "nobody"
    if who is not None and who != said:
        said = who
        print(who, flush=True)
