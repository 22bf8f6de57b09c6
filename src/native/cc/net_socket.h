// SPDX-License-Identifier: Apache-2.0
// A netlink socket, with whole request/answer exchanges. Messages are built
// and read in src/link; nothing here knows what they mean.
#pragma once

#include <napi.h>

namespace sluice {

// netOpen(protocol, netnsPath | null) -> Promise<External>; null: our own namespace, '': a new one
Napi::Value NetOpen(const Napi::CallbackInfo& info);
// netRequest(socket, name, messages: Buffer) -> Promise<Buffer[]>: sends one or
// more messages, each (if no dump) asking for an acknowledgement and sent when
// the one before has it, and answers the data messages that came back, headers
// included. Rejects with the first error; what comes after it is not sent.
Napi::Value NetRequest(const Napi::CallbackInfo& info);
// netBatch(socket, name, messages: Buffer) -> Promise<Buffer[]>: as netRequest, but all in one
// datagram, which is done with the first acknowledgement: only one asks for it.
Napi::Value NetBatch(const Napi::CallbackInfo& info);
// netListen(socket, groups: number[], onMessages(Buffer | null)) : null is an overrun.
Napi::Value NetListen(const Napi::CallbackInfo& info);
// netClose(socket)
Napi::Value NetClose(const Napi::CallbackInfo& info);

}  // namespace sluice
