# SPDX-License-Identifier: Apache-2.0
"""Commands, namespaces and the daemon's API; everything made is undone by close()."""
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CPU = "1"


def run(*command, ns=None, input=None, check=True):
    prefix = ["nsenter", f"--net=/run/netns/{ns}"] if ns else []
    done = subprocess.run([*prefix, *command], input=input, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Lab:
    def __init__(self, work):
        self.work = work
        self.suffix = secrets.token_hex(3)
        self.namespaces = []
        self.processes = []
        self.daemons = []
        self.closers = []

    def namespace(self, name):
        name = f"{name}-{self.suffix}"
        run("ip", "netns", "add", name)
        self.namespaces.append(name)
        run("ip", "link", "set", "lo", "up", ns=name)
        run("sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=20000 65000", ns=name)
        return name

    def address(self, ns, link, address):
        """Usable at once: no detection of duplicates."""
        run("ip", "addr", "add", address, "dev", link, *(["nodad"] if ":" in address else []), ns=ns)

    def ready(self, ns, link):
        """Until the kernel has noticed the carrier, and no address is tentative: what is sent before is lost."""
        for _ in range(1000):
            (shown,) = json.loads(run("ip", "-j", "addr", "show", "dev", link, ns=ns))
            if shown["operstate"] == "UP" and not any(a.get("tentative") for a in shown["addr_info"]):
                return
            time.sleep(0.01)
        raise RuntimeError(f"{link} of {ns} is not ready: {shown}")

    def pair(self, a, a_name, a_address, b, b_name, b_address):
        run("ip", "-n", a, "link", "add", a_name, "type", "veth", "peer", "name", b_name, "netns", b)
        for ns, name, address in ((a, a_name, a_address), (b, b_name, b_address)):
            run("sysctl", "-eqw", f"net.ipv6.conf.{name}.accept_dad=0", ns=ns)
            if address:
                self.address(ns, name, address)
            run("ip", "link", "set", name, "up", ns=ns)
        self.ready(a, a_name)
        self.ready(b, b_name)

    def start(self, *command, ns=None, wait="ready"):
        prefix = ["nsenter", f"--net=/run/netns/{ns}"] if ns else []
        process = subprocess.Popen([*prefix, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.processes.append(process)
        said = []
        for line in process.stdout:
            said.append(line)
            if wait in line:
                return process
        raise RuntimeError(f"{' '.join(command)}: {''.join(said)}")

    def daemon(self, ns, name, *flags):
        daemon = Daemon(self, ns, name, flags)
        self.daemons.append(daemon)
        return daemon

    def close(self):
        for close in self.closers:
            close()
        for process in self.processes:
            process.kill()
            process.wait()
        for daemon in self.daemons:
            daemon.close()
        for ns in self.namespaces:
            run("ip", "netns", "del", ns, check=False)


class Daemon:
    """One Sluice daemon in a namespace, driven through its API."""

    def __init__(self, lab, ns, name, flags):
        self.lab, self.ns, self.name, self.flags = lab, ns, f"{name}-{lab.suffix}", flags
        self.directory = os.path.join(lab.work, self.name)
        self.socket = os.path.join(self.directory, "sluice.sock")
        os.makedirs(self.directory)
        self.process = None

    def command(self, *extra):
        return [
            os.path.join(ROOT, "bin/sluiced"), *extra,
            "--socket", self.socket, "--state-dir", os.path.join(self.directory, "state"),
            "--bpffs", self.pins, *([] if "--metrics" in self.flags else ["--no-metrics"]),
            *([] if "--docker-plugin" in self.flags else ["--no-docker"]), *self.flags,
        ]

    @property
    def pins(self):
        return f"/sys/fs/bpf/sluice-bench-{self.name}"

    def start(self):
        """Answers the seconds until the API answered."""
        begun = time.monotonic()
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.ns}", *self.command()],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        while True:
            try:
                self.call("GET", "/v1/status")
                return time.monotonic() - begun
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"sluiced: {self.process.stderr.read().decode()}")
                time.sleep(0.005)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def call(self, method, path, body=None):
        text = self.exchange(method, path, None if body is None else json.dumps(body))
        return json.loads(text) if text else None

    def exchange(self, method, path, data):
        """The answer's bytes to a body of JSON: what the daemon takes, and not what we take with it."""
        connection = UnixConnection(self.socket)
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {text.decode()}")
        return text

    def resident(self):
        """Bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def cpu(self):
        """Milliseconds of the CPU that it has had."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.stop()
        run(*self.command("cleanup", "--state"), ns=self.ns, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
