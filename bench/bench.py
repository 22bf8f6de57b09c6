# SPDX-License-Identifier: Apache-2.0
"""Side by side: the bare path, routing, iptables, nftables and Sluice, in one
interleaved run pinned to one CPU. Nothing here passes or fails."""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from lib import chart, connect, control, docker, drop, full, paths, readme, services, services_daemon, services_scale
from lib.shell import CPU, ROOT, Lab

LATENCY = ("tcp_rr", "tcp_crr", "udp_rr")
AMOUNT = {"tcp_rr": 2000, "tcp_crr": 400, "udp_rr": 2000, "tcp_stream": 250, "udp_flood": 150}
WORKLOADS = {"rr": "tcp_rr", "crr": "tcp_crr", "udp": "udp_rr", "stream": "tcp_stream", "flood": "udp_flood"}


def client(rr, path, workload):
    command = ["nsenter", f"--net=/run/netns/{path.client}", "taskset", "-c", CPU, rr, workload]
    command += [path.target[0], str(path.target[1]), str(AMOUNT[workload])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{path.name}: {workload}: {done.stderr}")
    got = json.loads(done.stdout)
    return got.get("p50") or got.get("bytesPerSecond") or got["receivedPerSecond"]


def rounds(args, all_paths, workloads):
    """{workload: {path: [one value a round]}}"""
    samples = {w: {p.name: [] for p in all_paths} for w in workloads}
    for r in range(args.rounds):
        turn = r % len(all_paths)
        for workload in workloads:
            for path in all_paths[turn:] + all_paths[:turn]:
                samples[workload][path.name].append(client(args.rr, path, workload))
        print(f"round {r + 1} of {args.rounds}", file=sys.stderr)
    return samples


def summary(values):
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return {
        "median": statistics.median(ordered), "min": ordered[0], "max": ordered[-1],
        "iqr": ordered[-1 - quarter] - ordered[quarter], "rounds": [round(v) for v in values],
    }



def tax(samples, path):
    """
    What a path costs over the floor, against what iptables costs over it; of
    its own family. A machine that changes its clock has fast rounds and slow
    ones: the minima compare the fast ones, where medians may mix the two.
    """
    v6 = " IPv6" if "IPv6" in path else ""
    floor, mine, theirs = samples[f"floor{v6}"], samples[path], samples[f"iptables{v6} 1"]
    each = [(m - f) / (t - f) for m, t, f in zip(mine, theirs, floor) if t > f]
    median = statistics.median
    of_medians = (median(mine) - median(floor)) / (median(theirs) - median(floor))
    of_minima = (min(mine) - min(floor)) / (min(theirs) - min(floor))
    return {"ns": min(mine) - min(floor), "ofMinima": of_minima, "ofMedians": of_medians, "medianOfRounds": median(each),
            "min": min(each), "max": max(each)}


def show(results):
    show_paths(results["paths"], results["tax"], "port")
    if "services" in results:
        print("\nfrom one container to another by a service's address; the number is that of the services")
        show_paths(results["services"], results["servicesTax"], "service")
    show_rest(results)


def show_paths(workloads, taxes, what):
    for workload, table in workloads.items():
        unit = "ns" if workload in LATENCY else ("Gbit/s" if workload == "tcp_stream" else "packets/s")
        print(f"\n{workload} ({unit}; median, min, max, interquartile range" +
              (f"; tax of the minima, against iptables at 1 {what}: of minima, of medians, median of rounds)" if workload in LATENCY else ")"))
        for name, s in table.items():
            scale = 8e-9 if workload == "tcp_stream" else 1
            digits = 2 if workload == "tcp_stream" else 0
            line = f"  {name:24}" + "".join(f"{s[k] * scale:12,.{digits}f}" for k in ("median", "min", "max", "iqr"))
            t = taxes.get(workload, {}).get(name)
            if t:
                line += f"   tax {t['ns']:8,.0f} ns  {t['ofMinima']:.2f}  {t['ofMedians']:.2f}  {t['medianOfRounds']:.2f} ({t['min']:.2f}–{t['max']:.2f})"
            print(line)


def show_rest(results):
    for name, host in results.get("host", {}).items():
        print(f"\nhost's own {name}: alone {host['alone']:,.0f} ns, beside Sluice {host['beside']:,.0f} ns "
              f"({host['percent']:+.1f} %, median of rounds {host['medianOfRounds']:+.1f} %, of minima {host['ofMinima']:+.1f} %)")
    if "connect" in results:
        print("\nconnect() to what is neither published nor a service (ns; without socket hooks, with, added: median of rounds, min, max)")
        for name, c in results["connect"]["cases"].items():
            print(f"  {name:26}" + "".join(f"{c[k]:12,.0f}" for k in ("without", "with", "added", "min", "max")))
        if results["connect"]["hooksOfOthers"]:
            print(f"  beside {results['connect']['hooksOfOthers']} hooks of others, which both have")
    tables = [("packets dropped a second", results.get("drop", {}))]
    tables += [(f"{w} by fill of the table of proven flows, p50 in ns", t) for w, t in results.get("full", {}).items()]
    for title, table in tables:
        if table:
            print(f"\n{title} (median, min, max, interquartile range)")
        for name, s in table.items():
            print(f"  {name:26}" + "".join(f"{s[k]:12,.0f}" for k in ("median", "min", "max", "iqr")))
    if "docker" in results:
        show_docker(results["docker"])
    if "programs" in results:
        print("\nprograms (ns a packet, net of an empty one; min, median)")
        for row in results["programs"]:
            print(f"  {row['case']:36}{row['min']:10.1f}{row['median']:10.1f}")
    if "servicesDaemon" in results:
        services_daemon.show(results["servicesDaemon"])
    if "servicesScale" in results:
        services_scale.show(results["servicesScale"])
    if "control" in results:
        print("\ncontrol plane")
        for key, value in results["control"].items():
            print(f"  {key:24}{value if not isinstance(value, float) else round(value, 1)}")


def show_docker(results):
    for workload, table in results["latency"].items():
        print(f"\n{workload} through a port that docker published, p50 in ns (median, min, max, interquartile range)")
        for name, s in table.items():
            print(f"  {name:26}" + "".join(f"{s[k]:12,.0f}" for k in ("median", "min", "max", "iqr")))
    print("\ndocker run -d, ms (until it returns, until the server answers; median)")
    for ports, table in results["starts"].items():
        for name, s in table.items():
            print(f"  {name:26}{ports:4} ports{s['run']:10,.0f}{s['answer']:10,.0f}")
    for name, s in results["weights"].items():
        print(f"\n{s['ports']} published ports on {name}: {s['processes']} processes with {s['proxyBytes'] / 1e6:,.1f} MB of their own; "
              f"dockerd {s['dockerdBytes'] / 1e6:+,.1f} MB, sluiced {s['sluicedBytes'] / 1e6:+,.1f} MB")


def draw(results):
    groups = []
    for workload in LATENCY:
        if workload in results["paths"]:
            groups.append((workload, {n: s["min"] / 1000 for n, s in results["paths"][workload].items()
                                      if "IPv6" not in n}))
    series = list(dict.fromkeys(name for _, values in groups for name in values))
    return chart.svg("Round trip through a published port", "p50 in µs; number: published ports; each group has its own scale",
                     groups, series)


def host_traffic(samples):
    out = {}
    for workload in LATENCY:
        if workload not in samples:
            continue
        alone, beside = samples[workload]["host alone"], samples[workload]["host + sluice"]
        each = [(b - a) / a * 100 for a, b in zip(alone, beside)]
        a, b = statistics.median(alone), statistics.median(beside)
        out[workload] = {"alone": a, "beside": b, "percent": (b - a) / a * 100, "medianOfRounds": statistics.median(each),
                         "ofMinima": (min(beside) / min(alone) - 1) * 100}
    return out


def measure_docker(lab, args):
    engine, daemon, client_ns, address, measured = docker.prepare(lab, args.rr)
    bare = paths.floor(lab)
    lab.start("taskset", "-c", CPU, args.rr, "server", str(paths.SERVER_PORT), ns=bare.server)
    samples = rounds(args, [bare, *measured], list(LATENCY))
    # starts take seconds, and spread little
    started = docker.starts(engine, client_ns, address, min(args.rounds, 7))
    return {
        "latency": {w: {name: summary(values) for name, values in table.items()} for w, table in samples.items()},
        "starts": {ports: {name: {"run": statistics.median(v[0] for v in each), "answer": statistics.median(v[1] for v in each)}
                           for name, each in table.items()} for ports, table in started.items()},
        "weights": docker.weights(engine, daemon),
    }


def measure_services(lab, args, counts):
    """{workload: {path: summary}} and, by workload, each path's tax over the bare pair."""
    measured = [paths.floor(lab)]
    for make in (services.iptables, services.nftables):
        measured += [make(lab, n) for n in counts]
    for n in counts:
        measured.append(services.sluice(lab, n, "--no-socket-services", label="packets")[0])
    for n in sorted({counts[0], counts[-1]}):
        path, direct = services.sluice(lab, n, label="socket")
        # beside the same rows, so that nothing but the way differs
        direct.name += f" {n}"
        measured += [path, direct]
    served = set()
    for path in measured:
        if path.server not in served:
            lab.start("taskset", "-c", CPU, args.rr, "server", str(paths.SERVER_PORT), ns=path.server)
        served.add(path.server)
    samples = rounds(args, measured, list(LATENCY))
    taxes = {w: {p.name: tax(table, p.name) for p in measured[1:]} for w, table in samples.items()}
    return {w: {name: summary(values) for name, values in table.items()} for w, table in samples.items()}, taxes


def program_cost(quick):
    command = [os.path.join(ROOT, "bench/progcost/run.sh"), os.path.join(ROOT, "dist/bpf")]
    command += ["7", "100000"] if quick else ["21", "300000"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rr", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="three rounds, few samples: a smoke test")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--ports", default="1,1000,10000", help="published ports, comma separated")
    parser.add_argument("--only", default="ipv6,rr,crr,udp,stream,flood,host,connect,cost,control,drop,full,docker,services,services-scale")
    parser.add_argument("--output", default=os.path.join(ROOT, "bench/results"))
    args = parser.parse_args()
    if args.quick:
        args.rounds = 3
    only = args.only.split(",")
    ports = [int(p) for p in args.ports.split(",")]
    workloads = [w for key, w in WORKLOADS.items() if key in only]
    results = {"machine": {"kernel": platform.release(), "cpus": os.cpu_count(), "date": time.strftime("%Y-%m-%d")},
               "rounds": args.rounds, "paths": {}, "tax": {}}
    lab = Lab(args.work)
    try:
        if workloads or "host" in only:
            measured = [paths.floor(lab), paths.routed(lab)]
            for make in (paths.iptables, paths.nftables, paths.sluice):
                measured += [make(lab, n) for n in ports]
            hosts = []
            beside = measured[-len(ports)]
            if "ipv6" in only:
                measured += [paths.floor(lab, v6=True), paths.routed(lab, v6=True)]
                measured += [make(lab, n, v6=True) for make in (paths.iptables, paths.nftables, paths.sluice)
                             for n in sorted({ports[0], ports[-1]})]
            if "host" in only:
                hosts = [paths.host_alone(lab),
                         paths.Path("host + sluice", beside.client, beside.host, (beside.target[0], 9090))]
            for path in measured + hosts:
                lab.start("taskset", "-c", CPU, args.rr, "server", str(path.target[1] if path in hosts else paths.SERVER_PORT),
                          *(["6"] if ":" in path.target[0] else []), ns=path.server)
            samples = rounds(args, measured, workloads)
            for workload, table in samples.items():
                results["paths"][workload] = {name: summary(values) for name, values in table.items()}
            for workload in workloads:
                if workload in LATENCY and "iptables 1" in samples[workload]:
                    results["tax"][workload] = {p.name: tax(samples[workload], p.name) for p in measured
                                                if not p.name.startswith("floor")}
            if hosts:
                results["host"] = host_traffic(rounds(args, hosts, list(LATENCY)))
        if "connect" in only:
            results["connect"] = connect.measure(lab, args.rounds, args.quick)
        if "drop" in only:
            dropped = drop.measure(lab, args.rr, args.rounds, 0.3 if args.quick else 1)
            results["drop"] = {name: summary(values) for name, values in dropped.items()}
        if "full" in only:
            fills = full.prepare(lab, os.path.join(args.work, "fill"))
            for path in fills:
                lab.start("taskset", "-c", CPU, args.rr, "server", str(paths.SERVER_PORT), ns=path.server)
            samples = rounds(args, fills, list(LATENCY))
            results["full"] = {w: {name: summary(values) for name, values in table.items()} for w, table in samples.items()}
        if "docker" in only:
            results["docker"] = measure_docker(lab, args)
        if "services" in only:
            results["services"], results["servicesTax"] = measure_services(lab, args, ports)
        if "services-scale" in only:
            results["servicesDaemon"] = services_daemon.measure(lab, args.quick)
        if "control" in only:
            results["control"] = control.measure(lab, args.quick)
    finally:
        lab.close()
    if "cost" in only:
        results["programs"] = program_cost(args.quick)
    if "services-scale" in only:
        results["servicesScale"] = services_scale.measure(args.quick)
    os.makedirs(args.output, exist_ok=True)
    with open(os.path.join(args.output, "latest.json"), "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    if results["paths"]:
        with open(os.path.join(args.output, "latest.svg"), "w") as file:
            file.write(draw(results))
    # a part of the benchmark is no news
    if all(part in results for part in ("control", "programs", "host", "services")) and all(
            "floor IPv6" in results["paths"].get(w, {}) for w in WORKLOADS.values()):
        readme.write(results, ROOT)
    show(results)


main()
