// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace sluice {

// Elements, one at a time. Absent is false, other failures throw.
Napi::Value MapLookup(const Napi::CallbackInfo& info);   // (fd, key, value: out) -> boolean
Napi::Value MapUpdate(const Napi::CallbackInfo& info);   // (fd, key, value, flags)
Napi::Value MapDelete(const Napi::CallbackInfo& info);   // (fd, key) -> boolean
Napi::Value MapNextKey(const Napi::CallbackInfo& info);  // (fd, key | null, next: out) -> boolean
// Many at once. `count` elements lie back to back in keys and values.
// (fd, in: Buffer | null, out: Buffer, keys, values, count) -> {count, end}
Napi::Value MapLookupBatch(const Napi::CallbackInfo& info);
Napi::Value MapUpdateBatch(const Napi::CallbackInfo& info);  // (fd, keys, values, count, flags)
Napi::Value MapDeleteBatch(const Napi::CallbackInfo& info);  // (fd, keys, count)
// (fd) -> {id, type, keySize, valueSize, maxEntries, flags, name}
Napi::Value MapInfo(const Napi::CallbackInfo& info);
Napi::Value Btf(const Napi::CallbackInfo& info);

}  // namespace sluice
