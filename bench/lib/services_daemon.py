# SPDX-License-Identifier: Apache-2.0
"""What many services cost a whole daemon: made, changed, listed, found by name, started again."""
import json
import os
import re
import statistics
import sys
import time

from .control import timed
from .shell import run

SERVICES = 10_000
BACKENDS = 10
ENDPOINTS = 100
METRICS = "127.0.0.1:9464"
MAPS = re.compile(r"services?[46_]|backend")


def query(ns, name, count):
    return json.loads(run(sys.executable, os.path.join(os.path.dirname(__file__), "ask.py"), name, str(count), ns=ns))


def kernel_memory(daemon):
    """Bytes that the maps of services are charged for, by map."""
    charged = {}
    directory = f"/proc/{daemon.process.pid}"
    for fd in os.listdir(f"{directory}/fdinfo"):
        with open(f"{directory}/fdinfo/{fd}") as file:
            info = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        if "map_id" not in info:
            continue
        name = json.loads(run("bpftool", "-j", "map", "show", "id", info["map_id"].strip())).get("name", "")
        if MAPS.match(name):
            charged[name] = int(info["memlock"])
    return charged


def spread(times):
    return {"median": statistics.median(times), "p99": sorted(times)[len(times) * 99 // 100], "max": max(times)}


def measure(lab, quick):
    host = lab.namespace("many-h")
    peer = lab.namespace("many-p")
    lab.pair(host, "up0", "10.98.0.1/24", peer, "eth0", "10.98.0.2/24")
    daemon = lab.daemon(host, "many", "--metrics", METRICS)
    result = {"services": SERVICES, "backends": BACKENDS, "startEmpty": daemon.start() * 1000, "startEmptyCpu": daemon.cpu()}
    daemon.call("POST", "/v1/networks", {"name": "web", "subnets": [{"cidr": "10.97.0.0/16"}]})
    boxes = [f"many{i}-{lab.suffix}" for i in range(ENDPOINTS)]
    for box in boxes:
        daemon.call("POST", "/v1/sandboxes", {"name": box})
        daemon.call("POST", f"/v1/sandboxes/{box}/connect", {"network": "web", "name": box})
    result["residentBefore"] = daemon.resident()

    services = [
        {"name": f"s{i}", "network": "web", "ports": ["80:8080/tcp"],
         "backends": [{"endpoint": boxes[(i + j) % ENDPOINTS]} for j in range(BACKENDS)]}
        for i in range(SERVICES)
    ]
    request = json.dumps(services)
    used = daemon.cpu()
    result["create"] = timed(lambda: daemon.exchange("POST", "/v1/services", request))
    result["createCpu"] = daemon.cpu() - used
    result["residentAfterCreate"] = daemon.resident()

    changes = {"weight": [], "add": [], "remove": []}
    for i in range(50 if quick else 200):
        at = i * 7919 % SERVICES
        own, other = boxes[at % ENDPOINTS], boxes[(at + BACKENDS) % ENDPOINTS]
        path = f"/v1/services/s{at}/backends"
        changes["weight"].append(timed(lambda: daemon.call("PATCH", f"{path}/{own}", {"weight": 2})))
        changes["add"].append(timed(lambda: daemon.call("POST", path, {"endpoint": other})))
        changes["remove"].append(timed(lambda: daemon.call("DELETE", f"{path}/{other}")))
    result["change"] = {name: spread(times) for name, times in changes.items()}

    result["status"] = statistics.median(timed(lambda: daemon.call("GET", "/v1/status")) for _ in range(5))
    result["list"] = statistics.median(timed(lambda: daemon.call("GET", "/v1/services")) for _ in range(5))
    result["inspect"] = statistics.median(timed(lambda: daemon.call("GET", "/v1/services/s77")) for _ in range(5))
    result["scrape"], result["scrapeBytes"] = scrapes(lab, host)
    result["dns"] = spread(query(boxes[0], "s4711", 1000))
    result["kernelMemory"] = kernel_memory(daemon)
    time.sleep(5 if quick else 30)
    result["resident"] = daemon.resident()

    daemon.stop()
    result["restart"] = daemon.start() * 1000
    result["restartCpu"] = daemon.cpu()
    result["dnsAfterRestart"] = spread(query(boxes[0], "s4711", 100))
    result["residentAfterRestart"] = daemon.resident()
    result["servicesThen"] = len(daemon.call("GET", "/v1/services"))
    result["adopted"] = daemon.call("GET", "/v1/status")["rows"]
    return result


def scrapes(lab, ns):
    """Median of the milliseconds, and bytes."""
    times, size = [], 0
    for _ in range(5):
        begun = time.monotonic()
        size = len(run("curl", "-sf", f"http://{METRICS}/metrics", ns=ns))
        times.append((time.monotonic() - begun) * 1000)
    return statistics.median(times), size


def show(r):
    print(f"\n{r['services']:,} services of {r['backends']} backends in a daemon (ms)")
    for key, what in (("create", "created by one request"), ("createCpu", "  of it, the daemon's CPU"), ("status", "status"),
                      ("list", "all of them listed"), ("inspect", "one of them, with figures"), ("scrape", "a scrape of the metrics"),
                      ("startEmpty", "a first start, until the API answers"), ("startEmptyCpu", "  of it, the daemon's CPU"),
                      ("restart", "a restart, until the API answers"), ("restartCpu", "  of it, the daemon's CPU")):
        print(f"  {what:40}{r[key]:10,.1f}")
    cases = {**{f"one backend: {name}": times for name, times in r["change"].items()}, "a name, asked inside": r["dns"]}
    for what, times in cases.items():
        print(f"  {what:40}{times['median']:10,.2f}   (99 % {times['p99']:,.1f}, max {times['max']:,.1f})")
    print(f"  memory: {r['residentBefore'] / 1e6:,.0f} MB before, {r['residentAfterCreate'] / 1e6:,.0f} MB when made, "
          f"{r['resident'] / 1e6:,.0f} MB later, {r['residentAfterRestart'] / 1e6:,.0f} MB after a restart; "
          f"maps of services {sum(r['kernelMemory'].values()) / 1e6:,.1f} MB; metrics {r['scrapeBytes'] / 1e3:,.0f} kB")
