// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace sluice {

// (mapFd, onRecord: (Buffer) => void) -> External; records are copied
Napi::Value RingOpen(const Napi::CallbackInfo& info);
// (ring)
Napi::Value RingClose(const Napi::CallbackInfo& info);

}  // namespace sluice
