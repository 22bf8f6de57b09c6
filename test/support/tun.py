#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Joins a tun device of this namespace with one of another: tun.py NETNS"""
import ctypes
import fcntl
import os
import select
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000


def open_tun():
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    return fd


here = open_tun()
netns = os.open(f"/run/netns/{sys.argv[1]}", os.O_RDONLY)
if ctypes.CDLL(None).setns(netns, 0):
    sys.exit("setns failed")
there = open_tun()
print("ready", flush=True)
while True:
    for fd in select.select([here, there], [], [])[0]:
        try:
            os.write(there if fd == here else here, os.read(fd, 65535))
        except OSError:
            pass
