# SPDX-License-Identifier: Apache-2.0
"""Packets a second that an uplink drops, counted by what drops them: at tc, by XDP, and by a
rule in iptables' raw table. Sender and receiver share one CPU, so a rate is that of both: the
differences between the ways are what the dropping costs."""
import json
import subprocess

from .shell import CPU, run


def counted_iptables(host):
    def read():
        for line in run("iptables-save", "-c", "-t", "raw", ns=host).splitlines():
            if "-j DROP" in line:
                return int(line[1:].split(":")[0])
        return 0

    return read


def counted_sluice(daemon):
    return lambda: daemon.call("GET", "/v1/status")["drops"].get("direct_routing", {}).get("packets", 0)


def side(lab, name, flags):
    """A client, a host that drops, and the address that is flooded."""
    n = 100 + len(lab.namespaces)
    client, host = lab.namespace(f"{name}-c"), lab.namespace(f"{name}-h")
    lab.pair(client, "eth0", f"10.{n}.1.2/24", host, "up0", f"10.{n}.1.1/24")
    run("ip", "route", "add", "default", "via", f"10.{n}.1.1", ns=client)
    if flags is None:
        run("sysctl", "-qw", "net.ipv4.ip_forward=1", ns=host)
        run("iptables", "-t", "raw", "-A", "PREROUTING", "-d", f"10.{n}.2.2/32", "-j", "DROP", ns=host)
        return {"client": client, "target": f"10.{n}.2.2", "read": counted_iptables(host)}
    daemon = lab.daemon(host, name, *flags)
    daemon.start()
    box = f"{name}-{lab.suffix}"
    daemon.call("POST", "/v1/networks", {"name": "web"})
    daemon.call("POST", "/v1/sandboxes", {"name": box})
    daemon.call("POST", f"/v1/sandboxes/{box}/connect", {"network": "web"})
    address = daemon.call("GET", "/v1/endpoints")[0]["ipv4"].split("/")[0]
    return {"client": client, "target": address, "read": counted_sluice(daemon)}


def measure(lab, rr, rounds, seconds):
    sides = {
        "iptables raw": side(lab, "drop-ipt", None),
        "sluice tc": side(lab, "drop-tc", []),
        "sluice xdp": side(lab, "drop-xdp", ["--xdp"]),
    }
    samples = {name: [] for name in sides}
    names = list(sides)
    for r in range(rounds):
        for name in names[r % 3:] + names[:r % 3]:
            s = sides[name]
            before = s["read"]()
            done = subprocess.run(
                ["nsenter", f"--net=/run/netns/{s['client']}", "taskset", "-c", CPU, rr, "blast",
                 s["target"], "9", str(int(seconds * 1000))], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{name}: blast: {done.stderr}")
            sent = json.loads(done.stdout)
            dropped = s["read"]() - before
            if dropped < sent["packets"] * 0.99:
                raise RuntimeError(f"{name}: {dropped} of {sent['packets']} packets were dropped")
            samples[name].append(dropped / sent["seconds"])
    return samples
