# SPDX-License-Identifier: Apache-2.0
"""Docker's own bridge and Sluice under one dockerd: what a container takes to start, what a
published port costs a packet, and what it costs in memory and processes."""
import glob
import os
import shutil
import signal
import subprocess
import time

from . import paths
from .shell import CPU, run

IMAGE = "rr"
# docker's client of the same package, whichever else is installed
DOCKER = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
NETWORKS = {"docker bridge": "bridge", "docker sluice": "web"}
# a start that takes longer than any seen is none
PATIENCE = 60


class Engine:
    """A dockerd with namespaces of its own for mounts and processes, all of which end with process 1 there."""

    def __init__(self, lab, ns, rr):
        self.lab, self.ns = lab, ns
        self.directory = os.path.join(lab.work, "engine")
        self.cgroup = f"sluice-bench-{lab.suffix}"
        self.socket = os.path.join(self.directory, "docker.sock")
        self.plugin = os.path.join(self.directory, "plugins/sluice.sock")
        os.makedirs(os.path.dirname(self.plugin), exist_ok=True)
        self.rr = rr
        self.pid = None

    def start(self):
        script = " && ".join([
            "mount -t tmpfs tmpfs /run", "mkdir -p /run/docker/plugins", "echo {} >/run/dockerd.json",
            f"mount --bind {self.directory}/plugins /run/docker/plugins", "echo ready", "{ cat; exit 0; }",
        ])
        self.holder = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.ns}", "unshare", "--mount", "--pid", "--fork", "--kill-child",
             "--mount-proc", "--propagation", "private", "bash", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.holder.stdout.readline()
        self.pid = run("pgrep", "-P", str(self.holder.pid)).strip()
        self.log = open(os.path.join(self.directory, "dockerd.log"), "w+")
        self.dockerd = subprocess.Popen(
            ["nsenter", "-t", self.pid, "--mount", "--net", "--pid", "--", "dockerd", f"--host=unix://{self.socket}",
             f"--data-root={self.directory}/data", "--exec-root=/run/docker-exec", "--pidfile=/run/dockerd.pid",
             "--storage-driver=vfs", "--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent=/{self.cgroup}",
             "--config-file=/run/dockerd.json"], stdout=self.log, stderr=subprocess.STDOUT)
        self.wait(lambda: os.path.exists(self.socket) and self.call("version", check=False).returncode == 0)
        root = os.path.join(self.directory, "image")
        os.makedirs(root)
        shutil.copy(self.rr, os.path.join(root, "rr"))
        archive = subprocess.run(["tar", "-C", root, "-c", "."], capture_output=True, check=True).stdout
        self.call("import", "-", IMAGE, input=archive)

    def wait(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            if self.dockerd.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise RuntimeError(f"dockerd: {self.log.read()[-2000:]}")
            time.sleep(0.05)

    def call(self, *arguments, check=True, input=None):
        done = subprocess.run([DOCKER, "-H", f"unix://{self.socket}", *arguments], capture_output=True, input=input)
        if check and done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done

    def run(self, name, network, *flags):
        self.call("run", "-d", "--name", name, "--cpuset-cpus", CPU, "--network", network, *flags, IMAGE, "/rr", "server",
                  str(paths.SERVER_PORT))

    def remove(self, name):
        self.call("rm", "-f", name)

    def inspect(self, name, field):
        return self.call("inspect", "-f", "{{" + field + "}}", name).stdout.decode().strip()

    def processes(self, name):
        """How many run this program, and the bytes that they have to themselves."""
        pids = run("pgrep", "-f", "-x", f".*{name}.*", check=False).split()
        mine = [p for p in pids if same_namespace(p, self.pid)]
        return len(mine), sum(own_memory(p) for p in mine)

    def close(self):
        if self.pid:
            os.kill(int(self.pid), signal.SIGKILL)
            self.dockerd.wait()
            self.holder.wait()
        for _ in range(20):
            for place in sorted(glob.glob(f"/sys/fs/cgroup/**/{self.cgroup}/**/", recursive=True), reverse=True):
                try:
                    os.rmdir(place)
                except OSError:
                    pass
            if not glob.glob(f"/sys/fs/cgroup/**/{self.cgroup}", recursive=True):
                return
            time.sleep(0.1)


def same_namespace(pid, other):
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{other}/ns/pid")
    except OSError:
        return False


def own_memory(pid):
    """Bytes resident that no other process shares."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            return sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Private_"))
    except OSError:
        return 0


def prepare(lab, rr):
    """An engine with Sluice beside it, and a path through a published port of either."""
    client, host, _, family = paths.triangle(lab, "docker", bridge=None)
    engine = Engine(lab, host, rr)
    lab.closers.append(engine.close)
    daemon = lab.daemon(host, "docker", "--docker-plugin", engine.plugin, "--docker-host", f"unix://{engine.socket}")
    daemon.start()
    engine.start()
    engine.call("network", "create", "-d", "sluice", "--ipam-driver", "sluice", "web")
    made = []
    for i, (name, network) in enumerate(NETWORKS.items()):
        port = paths.HOST_PORT + i
        engine.run(f"path{i}", network, "-p", f"{port}:{paths.SERVER_PORT}", "-p", f"{port}:{paths.SERVER_PORT}/udp")
        made.append(paths.Path(name, client, None, (family.address(1, 1), port)))
    return engine, daemon, client, family.address(1, 1), made


def answered(ns, address, port, begun):
    """Milliseconds from `begun` until a server there echoes a byte, asked from a namespace."""
    code = """
import socket, sys, time
end = time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.2) as sock:
            sock.sendall(b"e")
            if sock.recv(1):
                print(time.monotonic())
                break
    except OSError:
        time.sleep(0.001)
"""
    said = run("/usr/bin/python3", "-c", code, address, str(port), str(PATIENCE), ns=ns).strip()
    if not said:
        raise RuntimeError(f"nobody answers at {address}:{port}")
    return (float(said) - begun) * 1000


def starts(engine, client, address, rounds):
    """{ports: {network: [[milliseconds until `docker run` returns, until the first answer] a round]}}"""
    samples = {n: {name: [] for name in NETWORKS} for n in (0, 1, 100)}
    for r in range(rounds):
        for ports, by_network in samples.items():
            for name in sorted(NETWORKS, reverse=bool(r % 2)):
                flags = ["-p", f"20000-{19999 + ports}:{paths.SERVER_PORT}-{paths.SERVER_PORT - 1 + ports}"] if ports else []
                begun = time.monotonic()
                engine.run("start", NETWORKS[name], *flags)
                returned = (time.monotonic() - begun) * 1000
                if ports:
                    first = answered(client, address, 20000, begun)
                else:
                    ip = engine.inspect("start", f'(index .NetworkSettings.Networks "{NETWORKS[name]}").IPAddress')
                    first = answered(engine.ns, ip, paths.SERVER_PORT, begun)
                by_network[name].append((returned, first))
                engine.remove("start")
    return samples


def weights(engine, daemon, ports=500):
    """What so many published ports of one container take: processes, and bytes of theirs and of the daemons."""
    out = {}
    for name, network in NETWORKS.items():
        before = own_memory(engine_pid(engine)), daemon.resident()
        others = engine.processes("docker-proxy")
        engine.run("many", network, "-p", f"30000-{29999 + ports}:30000-{29999 + ports}")
        processes, memory = engine.processes("docker-proxy")
        out[name] = {
            "ports": ports, "processes": processes - others[0], "proxyBytes": memory - others[1],
            "dockerdBytes": own_memory(engine_pid(engine)) - before[0], "sluicedBytes": daemon.resident() - before[1],
        }
        engine.remove("many")
    return out


def engine_pid(engine):
    return run("pgrep", "-f", "-x", f"dockerd --host=unix://{engine.socket} .*").split()[0]
