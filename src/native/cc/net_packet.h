// SPDX-License-Identifier: Apache-2.0
// Frames sent as they are. On the net worker.
#pragma once

#include <napi.h>

namespace sluice {

// netSend(netns: string | null, ifindexes: number[], frame: Buffer) -> Promise<void>: the Ethernet
// frame out of each of the interfaces. One that is down or gone is passed over.
Napi::Value NetSend(const Napi::CallbackInfo& info);

}  // namespace sluice
