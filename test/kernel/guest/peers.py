#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Peers of the smoke checks, with patience for an emulated processor:
web PORT NAME (answers "NAME saw ADDRESS"), echo PORT (sends datagrams back), port PORT (answers the
port that it sees), stream PORT (numbered lines until the peer goes), ask ADDRESS PORT SIZE [SPORT]
(sends a datagram once, says what came back), oversize ADDRESS PORT SIZE (sends what must not be cut
until the path's MTU is known), follow ADDRESS PORT (reads a stream until it is told to end)."""
import errno
import http.server
import signal
import socket
import sys
import time

PATIENCE = 20
# (level, option, value) so that the kernel says EMSGSIZE rather than cut
WHOLE4 = (socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: IP_PMTUDISC_DO
WHOLE6 = (socket.IPPROTO_IPV6, 62, 1)  # IPV6_DONTFRAG


def speaks_ipv6():
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        return True
    except OSError:
        return False  # ipv6.disable=1


def both(kind, port):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", int(port)))
    return sock


def web(port, name):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"{name} saw {self.client_address[0]}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if speaks_ipv6() else socket.AF_INET

    server = Server(("", int(port)), Handler)
    print("ready", flush=True)
    server.serve_forever()


def echo(port, answer=lambda data, peer: data):
    sock = both(socket.SOCK_DGRAM, port)
    print("ready", flush=True)
    while True:
        data, peer = sock.recvfrom(65535)
        sock.sendto(answer(data, peer), peer)


def port(number):
    echo(number, lambda _, peer: str(peer[1]).encode())


def towards(address, number, sport=0):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE)
    sock.bind(("", int(sport)))
    sock.connect((address, int(number)))
    return sock


def ask(address, number, size, sport=0):
    sent = bytes(i % 251 for i in range(int(size)))
    sock = towards(address, number, sport)
    try:
        sock.send(sent)
        came = sock.recv(65535)
        print("same" if came == sent else f"differs: {came[:40].decode(errors='replace')}", len(came))
    except OSError as e:
        print("timeout" if isinstance(e, TimeoutError) else errno.errorcode[e.errno])


def oversize(address, number, size):
    sock = towards(address, number)
    sock.setsockopt(*(WHOLE6 if ":" in address else WHOLE4))
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            sock.send(bytes(int(size)))
        except OSError as e:
            print(errno.errorcode[e.errno])
            return
        time.sleep(0.5)
    print("never refused")


def stream(number):
    listener = both(socket.SOCK_STREAM, number)
    listener.listen(8)
    print("ready", flush=True)
    while True:
        peer, _ = listener.accept()
        try:
            line = 0
            while True:
                peer.sendall(f"{line}\n".encode())
                line += 1
                time.sleep(0.1)
        except OSError:
            peer.close()


def follow(address, number):
    def end(*_):
        raise InterruptedError

    sock = socket.create_connection((address, int(number)), timeout=PATIENCE)
    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    wanted, rest = 0, b""
    try:
        # ten lines a second: silence for so long is a stopped transfer
        while data := sock.recv(4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if int(line) != wanted:
                    print(f"line {line.decode()} in place of {wanted}")
                    return
                wanted += 1
        print(f"closed after {wanted} lines")
    except TimeoutError:
        print(f"silent after {wanted} lines")
    except InterruptedError:
        print(f"whole after {'many' if wanted > 20 else 'few'} lines")


if __name__ == "__main__":
    {f.__name__: f for f in (web, echo, port, ask, oversize, stream, follow)}[sys.argv[1]](*sys.argv[2:])
