# SPDX-License-Identifier: Apache-2.0
"""The README's figures, from results."""
import os
import re

PATHS = ("floor", "routed", "iptables 1", "iptables 10000", "nftables 1", "nftables 10000", "sluice 1", "sluice 10000",
         "floor IPv6", "routed IPv6", "iptables IPv6 1", "iptables IPv6 10000", "sluice IPv6 1", "sluice IPv6 10000")
NAMES = {"tcp_rr": "TCP request/response", "tcp_crr": "TCP connect + request + close", "udp_rr": "UDP request/response"}


def section(results):
    """Markdown; p50 in microseconds, medians over the rounds."""
    latency = [w for w in NAMES if w in results["paths"]]
    lines = ["| path | " + " | ".join(f"{NAMES[w]}, µs" for w in latency) + " |", "|---|" + "---|" * len(latency)]
    for path in PATHS:
        cells = []
        for workload in latency:
            value = results["paths"][workload][path]["median"] / 1000
            tax = results["tax"][workload].get(path)
            cells.append(f"{value:.1f}" + (f" (×{tax['medianOfRounds']:.2f})" if tax else ""))
        lines.append(f"| {path} | " + " | ".join(cells) + " |")
    machine = results["machine"]
    return "\n".join([
        f"Medians of {results['rounds']} interleaved rounds on Linux {machine['kernel']}, {machine['cpus']} CPUs, client and"
        " server in namespaces, pinned. The number behind a path is how many ports are published; that in brackets is the"
        " path's tax (its p50 less the floor's) as a multiple of iptables' with one port in the same family, the median over rounds. The whole,"
        " with spreads, is in `bench/results/latest.json`.", "", *lines])


def write(results, root):
    """Between the README's two markers."""
    path = os.path.join(root, "README.md")
    with open(path) as file:
        text = file.read()
    body = f"<!-- bench:begin -->\n{section(results)}\n<!-- bench:end -->"
    text = re.sub(r"<!-- bench:begin -->.*<!-- bench:end -->", lambda _: body, text, flags=re.S)
    with open(path, "w") as file:
        file.write(text)
