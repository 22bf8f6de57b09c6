# SPDX-License-Identifier: Apache-2.0
"""Latency through a published port with the table of proven flows empty, at nine tenths,
and with a million flows."""
import os

from . import paths
from .shell import run

# flows that the tables are made for, and entries put in: two a flow
FILLS = {"empty": (131072, 0), "nine tenths": (131072, 235_000), "1 M flows": (1_200_000, 2_000_000)}


def prepare(lab, fill):
    """A path for each."""
    made = []
    for name, (flows, entries) in FILLS.items():
        path = paths.sluice(lab, 1, f"full{len(made)}", ("--conntrack-max", str(flows)))
        path.name = name
        if entries:
            run(fill, os.path.join(path.daemon.pins, "maps", "flows4"), str(entries))
        made.append(path)
    return made
