# SPDX-License-Identifier: Apache-2.0
"""What the socket hooks add to connect() of a program of the host whose peer
nobody published. They are on the root cgroup, so the same sockets are measured
with them and without them in turn: the daemon is started, and all that it has
left is removed again."""
import json
import os
import statistics
import sys

from .shell import CPU, run

CASES = (("tcp", "127.0.0.1"), ("tcp", "::1"), ("udp", "127.0.0.1"), ("udp", "::1"))
COUNT = {"tcp": 4000, "udp": 400_000}


def publish(daemon):
    """So that the tables are not empty; the measured ports are others."""
    box = f"served-{daemon.lab.suffix}"
    daemon.call("POST", "/v1/networks", {"name": "web", "ipv6": True})
    daemon.call("POST", "/v1/sandboxes", {"name": box})
    daemon.call("POST", f"/v1/sandboxes/{box}/connect", {"network": "web", "ports": ["8080:80"]})


def foreign():
    """Hooks that other daemons have on the machine: the difference is then that to theirs."""
    links = json.loads(run("bpftool", "-j", "link", "show") or "[]")
    return sum(link["type"] == "cgroup" for link in links)


def sample(lab, ns, count):
    taken = {}
    for kind, address in CASES:
        said = run("taskset", "-c", CPU, os.path.join(lab.work, "connect"), kind, address, str(count[kind]), ns=ns)
        taken[f"{kind} {address}"] = json.loads(said)["p50"]
    return taken


def measure(lab, rounds, quick):
    count = {kind: n // 4 if quick else n for kind, n in COUNT.items()}
    ns = lab.namespace("connect")
    others = foreign()
    daemon = lab.daemon(ns, "connect")
    daemon.start()
    publish(daemon)
    samples = {f"{kind} {address}": {"with": [], "without": []} for kind, address in CASES}
    for r in range(rounds):
        if r:
            daemon.start()
        for case, took in sample(lab, ns, count).items():
            samples[case]["with"].append(took)
        daemon.stop()
        run(*daemon.command("cleanup"), ns=ns)
        for case, took in sample(lab, ns, count).items():
            samples[case]["without"].append(took)
        print(f"round {r + 1} of {rounds}", file=sys.stderr)
    median = statistics.median
    out = {"hooksOfOthers": others, "cases": {}}
    for case, taken in samples.items():
        each = [w - o for w, o in zip(taken["with"], taken["without"])]
        out["cases"][case] = {
            "without": median(taken["without"]), "with": median(taken["with"]), "added": median(each),
            "min": min(each), "max": max(each), "rounds": taken,
        }
    return out
