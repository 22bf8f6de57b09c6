# SPDX-License-Identifier: Apache-2.0
"""What the socket hooks add to connect() of a program whose peer nobody
published, and which is no service's: of the host, towards loopback and another
address, and of a namespace that is not Sluice's. They are on the root cgroup, so the same sockets are measured
with them and without them in turn: the daemon is started, and all that it has
left is removed again."""
import json
import os
import statistics
import sys

from .shell import CPU, run

HOST, HOST6 = "192.0.2.1", "2001:db8::1"
CASES = tuple((kind, address) for kind in ("tcp", "udp") for address in ("127.0.0.1", "::1", HOST, HOST6))
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


def cases(ns, elsewhere):
    for kind, address in CASES:
        yield f"{kind} {address}", ns, kind, address
    for address in (HOST, HOST6):
        yield f"udp {address} elsewhere", elsewhere, "udp", address


def sample(lab, each, count):
    taken = {}
    for case, ns, kind, address in each:
        said = run("taskset", "-c", CPU, os.path.join(lab.work, "connect"), kind, address, str(count[kind]), ns=ns)
        taken[case] = json.loads(said)["p50"]
    return taken


def measure(lab, rounds, quick):
    count = {kind: n // 4 if quick else n for kind, n in COUNT.items()}
    ns = lab.namespace("connect")
    elsewhere = lab.namespace("elsewhere")
    for at in (ns, elsewhere):
        lab.address(at, "lo", f"{HOST}/32")
        lab.address(at, "lo", f"{HOST6}/128")
    each = tuple(cases(ns, elsewhere))
    others = foreign()
    daemon = lab.daemon(ns, "connect")
    daemon.start()
    publish(daemon)
    samples = {case: {"with": [], "without": []} for case, *_ in each}
    for r in range(rounds):
        if r:
            daemon.start()
        for case, took in sample(lab, each, count).items():
            samples[case]["with"].append(took)
        daemon.stop()
        run(*daemon.command("cleanup"), ns=ns)
        for case, took in sample(lab, each, count).items():
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
