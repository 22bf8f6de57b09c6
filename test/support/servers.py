#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Small real peers for the tests: web PORT [WHERE], udp PORT [WHERE] (an address, or 4 or
6 for all of that family; an IPv6 one takes no IPv4), ask ADDRESS PORT SPORT TEXT [SECONDS], many ADDRESS PORT COUNT [SECONDS] (a datagram from each of so many ports: how many were
answered, and errors), fill ADDRESS PORT FIRST LAST (a datagram from each of these ports),
stream PORT (sends numbered lines until the peer goes), follow ADDRESS PORT SECONDS (reads
such a stream and prints how many lines came, and the longest pause in ms)."""
import errno
import http.server
import json
import socket
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = int(self.path[1:]) if self.path[1:].isdigit() else 0
        asks = name(self.client_address) if self.path == "/port" else self.client_address[0]
        self.answer(b"x" * size if size else asks.encode())

    def do_POST(self):
        """Says how many bytes came."""
        left = int(self.headers["Content-Length"])
        while left and (data := self.rfile.read(min(left, 1 << 16))):
            left -= len(data)
        self.answer(str(int(self.headers["Content-Length"]) - left).encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


class Server6(Server):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


def family_of(address):
    return "6" if ":" in address else "4"


def address_of(where):
    return {"4": "0.0.0.0", "6": "::"}.get(where, where)


def web(port, where="4"):
    address = address_of(where)
    server = (Server6 if ":" in address else Server)((address, int(port)), Handler)
    print("ready", flush=True)
    server.serve_forever()


def datagrams(port, where="4"):
    address = address_of(where)
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, int(port)))
    return sock


def name(peer):
    return f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"


def udp(port, where="4"):
    sock = datagrams(port, where)
    print("ready", flush=True)
    while True:
        data, peer = sock.recvfrom(65535)
        sock.sendto(f"{name(peer)} ".encode() + data, peer)


def ask(address, port, sport, text, seconds=10):
    sock = datagrams(sport, family_of(address))
    sock.settimeout(float(seconds))
    sock.connect((address, int(port)))
    try:
        sock.send(text.encode())
        print(sock.recv(65535).decode(), end="")
    except OSError:
        pass


def many(address, port, count, seconds=10):
    socks = [datagrams(0, family_of(address)) for _ in range(int(count))]
    outcome = {"answered": 0, "errors": []}
    for sock in socks:
        sock.connect((address, int(port)))
        sock.send(b"hello")
    end = time.monotonic() + float(seconds)
    for sock in socks:
        sock.settimeout(max(end - time.monotonic(), 0.001))
        try:
            sock.recv(65535)
            outcome["answered"] += 1
        except socket.timeout:
            pass
        except OSError as e:
            outcome["errors"].append(errno.errorcode[e.errno])
    print(json.dumps(outcome))


def fill(address, port, first, last):
    for sport in range(int(first), int(last) + 1):
        sock = datagrams(sport, family_of(address))
        sock.sendto(b"x", (address, int(port)))
        sock.close()


def stream(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", int(port)))
    listener.listen(8)
    print("ready", flush=True)
    while True:
        peer, _ = listener.accept()
        try:
            while True:
                peer.sendall(b"tick\n")
                time.sleep(0.01)
        except OSError:
            peer.close()


def follow(address, port, seconds):
    sock = socket.create_connection((address, int(port)), timeout=5)
    print("ready", flush=True)
    end = time.monotonic() + float(seconds)
    lines, pause, last = 0, 0.0, time.monotonic()
    while time.monotonic() < end:
        data = sock.recv(4096)
        if not data:
            print("closed")
            return
        now = time.monotonic()
        pause, last = max(pause, now - last), now
        lines += data.count(b"\n")
    print(f"{lines} lines, longest pause {pause * 1000:.0f} ms", flush=True)


globals()[sys.argv[1]](*sys.argv[2:])
