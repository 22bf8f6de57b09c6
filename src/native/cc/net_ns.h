// SPDX-License-Identifier: Apache-2.0
// Network namespaces. All on the net worker.
#pragma once

#include <napi.h>

#include <functional>

#include "worker.h"

namespace sluice {

// Runs `inside` with the calling thread (the net worker) in the namespace at
// `path`, and comes back. If coming back fails the process aborts: a thread in
// the wrong namespace would change the wrong machine. An empty path is a new
// namespace, which ends with the last socket or link that `inside` made there.
Failure InNamespace(const std::string& path, const std::function<Failure()>& inside);

// netnsCreate(path), netnsDelete(path) -> Promise<void>
Napi::Value NetnsCreate(const Napi::CallbackInfo& info);
Napi::Value NetnsDelete(const Napi::CallbackInfo& info);
// netnsInfo(path) -> Promise<{inode: bigint, cookie: bigint} | null>; null: no network namespace
Napi::Value NetnsInfo(const Napi::CallbackInfo& info);
// netnsWrite(path, file, text) -> Promise<void>: a file under /proc/sys/net as seen inside
Napi::Value NetnsWrite(const Napi::CallbackInfo& info);
// netnsRead(path, file) -> Promise<string>
Napi::Value NetnsRead(const Napi::CallbackInfo& info);
// netnsSocket(path, tcp: boolean, address, port, action: 'bind' | 'listen' | 'connect', mark)
// -> Promise<fd>: a socket made inside, which works from outside as well. Not blocking, and the
// caller's to close. IPv4 and IPv6 by the address; `connect` does not wait. UDP sockets have
// room for a burst.
Napi::Value NetnsSocket(const Napi::CallbackInfo& info);
// socketDrops(fd) -> number: packets that the socket had no room for
Napi::Value SocketDrops(const Napi::CallbackInfo& info);

}  // namespace sluice
