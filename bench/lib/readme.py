# SPDX-License-Identifier: Apache-2.0
"""The README's figures, from results."""
import os
import re

PATHS = ("floor", "routed", "iptables 1", "iptables 10000", "nftables 1", "nftables 10000", "sluice 1", "sluice 10000",
         "floor IPv6", "routed IPv6", "iptables IPv6 1", "iptables IPv6 10000", "sluice IPv6 1", "sluice IPv6 10000")
SERVICES = ("floor", "iptables 1", "iptables 10000", "nftables 1", "nftables 10000", "sluice packets 1",
            "sluice packets 10000", "sluice direct socket 1", "sluice socket 1", "sluice direct socket 10000", "sluice socket 10000")
NAMES = {"tcp_rr": "TCP request/response", "tcp_crr": "TCP connect + request + close", "udp_rr": "UDP request/response"}


def table(paths, latency, taxes):
    """Markdown; p50 of the best round, in microseconds."""
    lines = ["| path | " + " | ".join(f"{NAMES[w]}, µs" for w in latency) + " |", "|---|" + "---|" * len(latency)]
    for path in paths:
        cells = []
        for workload, samples in latency.items():
            value = samples[path]["min"] / 1000
            tax = taxes[workload].get(path)
            cells.append(f"{value:.1f}" + (f" (×{tax['ofMinima']:.2f})" if tax else ""))
        lines.append(f"| {path} | " + " | ".join(cells) + " |")
    return lines


def section(results):
    machine = results["machine"]
    published, services = ({w: results[part][w] for w in NAMES if w in results[part]} for part in ("paths", "services"))
    return "\n".join([
        f"Linux {machine['kernel']}, {machine['cpus']} CPUs that change their clock, client and server in namespaces, pinned: the"
        f" best of {results['rounds']} interleaved rounds, of each the median request. The number behind a path is how many ports"
        " are published; that in brackets is the path's tax (what it takes more than the floor) as a multiple of iptables' with one"
        " port in the same family. Every round is in `bench/results/latest.json`.", "",
        *table(PATHS, published, results["tax"]), "",
        "A service's address, from one container to another; the number is that of services. `packets` is the path without socket"
        " hooks, `direct` the backend's own address.", "",
        *table(SERVICES, services, results["servicesTax"])])


def write(results, root):
    """Between the README's two markers."""
    path = os.path.join(root, "README.md")
    with open(path) as file:
        text = file.read()
    body = f"<!-- bench:begin -->\n{section(results)}\n<!-- bench:end -->"
    text = re.sub(r"<!-- bench:begin -->.*<!-- bench:end -->", lambda _: body, text, flags=re.S)
    with open(path, "w") as file:
        file.write(text)
