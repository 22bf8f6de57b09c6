#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""BPF_PROG_TEST_RUN from inside a network namespace: `testrun.py PIN…`. Batches
come on stdin and go to stdout, in little-endian: a count, then that many of
{u8 program, u32 flags, u32 ifindex, u32 mark, u16 length, frame}; answered by as many of
{u32 errno, i32 verdict, u16 length, frame}. ifindex 0: no context is given."""
import ctypes
import struct
import sys

SYS_BPF = {"x86_64": 321, "aarch64": 280}[__import__("platform").machine()]
BPF_OBJ_GET, BPF_PROG_TEST_RUN = 7, 10
ROOM = 4096
libc = ctypes.CDLL(None, use_errno=True)


class TestRun(ctypes.Structure):
    _fields_ = [
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_int32),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_uint64),
        ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64),
        ("ctx_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    ]


def bpf(command, attributes):
    size = ctypes.sizeof(attributes)
    return libc.syscall(SYS_BPF, command, ctypes.byref(attributes), size)


def open_pin(path):
    class Get(ctypes.Structure):
        _fields_ = [("path", ctypes.c_uint64), ("fd", ctypes.c_uint32), ("flags", ctypes.c_uint32)]

    name = ctypes.create_string_buffer(path.encode())
    fd = bpf(BPF_OBJ_GET, Get(ctypes.addressof(name), 0, 0))
    if fd < 0:
        sys.exit(f"{path}: errno {ctypes.get_errno()}")
    return fd


def main():
    programs = [open_pin(path) for path in sys.argv[1:]]
    data, out = ctypes.create_string_buffer(ROOM), ctypes.create_string_buffer(ROOM)
    # struct __sk_buff up to ifindex; the kernel takes a shorter one
    context = ctypes.create_string_buffer(44)
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while head := stdin.read(4):
        answers = []
        for _ in range(struct.unpack("<I", head)[0]):
            program, flags, ifindex, mark, length = struct.unpack("<BIIIH", stdin.read(15))
            ctypes.memmove(data, stdin.read(length), length)
            struct.pack_into("<I", context, 8, mark)
            struct.pack_into("<I", context, 40, ifindex)
            run = TestRun(
                prog_fd=programs[program],
                data_size_in=length,
                data_size_out=ROOM,
                data_in=ctypes.addressof(data),
                data_out=ctypes.addressof(out),
                repeat=1,
                ctx_size_in=44 if ifindex else 0,
                ctx_in=ctypes.addressof(context) if ifindex else 0,
                flags=flags,
            )
            errno = ctypes.get_errno() if bpf(BPF_PROG_TEST_RUN, run) else 0
            size = 0 if errno else run.data_size_out
            answers.append(struct.pack("<IiH", errno, run.retval, size) + out.raw[:size])
        stdout.write(b"".join(answers))
        stdout.flush()


main()
