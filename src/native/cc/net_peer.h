// SPDX-License-Identifier: Apache-2.0
// Sockets of other processes: what they are connected to.
#pragma once

#include <napi.h>

namespace sluice {

// socketReconnect(pid, fd, cookie: bigint, address, port, fresh: boolean)
// Connects that datagram socket anew, if it still bears the cookie. IPv6 sockets take an IPv4
// address as a mapped one. `fresh` first lets go of the source address and port that the kernel
// had picked, and of the peer. Needs CAP_SYS_PTRACE for processes of others.
Napi::Value SocketReconnect(const Napi::CallbackInfo& info);

}  // namespace sluice
