#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stack_depth.py OBJECT: what the verifier says of the stack, a line a function: PROGRAM FUNCTION BYTES.

The order of the functions is that of bpftool. Where the kernel inlines bpf_loop it adds, after its check,
room for three registers to the function's depth; that is taken off again.
"""
import ctypes
import json
import re
import subprocess
import sys

BPF_LOG_STATS = 4
ENTRIES = 64  # of a table of flows, whose size does not matter here
# BPF_MAX_LOOPS is compared with, and -E2BIG the other way out, in front of an inlined bpf_loop
INLINED_LOOP = re.compile(r"if r1 <= 0x800000 goto pc\+2\nw0 = -7\n")
LOOP_REGISTERS = 24

bpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
for name in ("bpf_object__open", "bpf_object__next_map", "bpf_object__next_program"):
    getattr(bpf, name).restype = ctypes.c_void_p
bpf.bpf_program__name.restype = ctypes.c_char_p


def each(following, obj):
    item = following(obj, None)
    while item:
        yield item
        item = following(obj, ctypes.c_void_p(item))


def programs(obj):
    return [ctypes.c_void_p(p) for p in each(bpf.bpf_object__next_program, obj)]


def functions(fd):
    """Names of a program's functions in its order, each with its instructions as text."""
    info = (ctypes.c_uint32 * 64)()
    length = ctypes.c_uint32(ctypes.sizeof(info))
    if bpf.bpf_obj_get_info_by_fd(fd, info, ctypes.byref(length)) != 0:
        sys.exit("no information about the program")
    dump = subprocess.check_output(["bpftool", "-j", "prog", "dump", "xlated", "id", str(info[1])])
    found = []
    for line in json.loads(dump):
        if "proto" in line:
            found.append([re.search(r"(\w+)\(", line["proto"])[1], ""])
        found[-1][1] += re.sub(r"^\([0-9a-f]+\) ", "", line["disasm"]) + "\n"
    return found


def main():
    obj = ctypes.c_void_p(bpf.bpf_object__open(sys.argv[1].encode()))
    if not obj:
        sys.exit("cannot be opened")
    for m in each(bpf.bpf_object__next_map, obj):
        m = ctypes.c_void_p(m)
        if bpf.bpf_map__max_entries(m) > ENTRIES:
            bpf.bpf_map__set_max_entries(m, ENTRIES)
    logs = []
    for p in programs(obj):
        log = ctypes.create_string_buffer(1 << 20)
        logs.append(log)
        bpf.bpf_program__set_log_level(p, BPF_LOG_STATS)
        bpf.bpf_program__set_log_buf(p, log, ctypes.c_size_t(len(log)))
    if bpf.bpf_object__load(obj) != 0:
        sys.exit("cannot be loaded: " + " ".join(log.value.decode() for log in logs))
    for p, log in zip(programs(obj), logs):
        depths = re.search(r"^stack depth ([0-9+]+)", log.value.decode(), re.M)[1].split("+")
        known = functions(bpf.bpf_program__fd(p))
        if len(known) != len(depths):
            sys.exit(f"{len(depths)} depths of {len(known)} functions")
        for (name, text), depth in zip(known, depths):
            inlined = LOOP_REGISTERS if INLINED_LOOP.search(text) else 0
            print(bpf.bpf_program__name(p).decode(), name, int(depth) - inlined)


main()
