# SPDX-License-Identifier: Apache-2.0
"""What many services cost the control plane: see services_scale.mjs."""
import json
import os
import statistics
import subprocess

from .shell import ROOT

SCRIPT = os.path.join(ROOT, "bench/lib/services_scale.mjs")
TIMES = ("program", "programCpu", "fullPass", "adopt", "large", "remove")


def measure(quick):
    """Medians over processes: a first full pass is of a process that has compiled nothing yet."""
    runs = []
    for _ in range(1 if quick else 5):
        done = subprocess.run(["node", "--expose-gc", SCRIPT], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        runs.append(json.loads(done.stdout))
    result = dict(runs[-1])
    for key in TIMES:
        result[key] = statistics.median(r[key] for r in runs)
    for key in ("change", "setting", "largeChange"):
        result[key] = {"median": statistics.median(r[key]["median"] for r in runs), "max": max(r[key]["max"] for r in runs)}
    return result


def show(r):
    print(f"\n{r['services']:,} services of {r['backends']} backends (ms)")
    for key, what in (("program", "all, from nothing"), ("programCpu", "  of it, time of the CPU"), ("fullPass", "a full pass that finds all there"),
                      ("adopt", "a restart that finds all there"), ("remove", "all removed, one by one"),
                      ("large", f"one more with {r['largeBackends']:,} backends")):
        print(f"  {what:40}{r[key]:10,.1f}")
    for key, what in (("change", "one backend's weight"), ("setting", "one service's affinity"),
                      ("largeChange", f"one of {r['largeBackends']:,} backends drains")):
        print(f"  {what:40}{r[key]['median']:10,.2f}   (max {r[key]['max']:,.1f})")
    print(f"  memory: rows {r['rssOfRows'] / 1e6:,.1f} MB, the reconciler's books {r['rss'] / 1e6:,.1f} MB; "
          f"maps {sum(r['kernelMemory'].values()) / 1e6:,.1f} MB")
