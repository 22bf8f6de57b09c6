// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <string>

namespace sluice {

// From now on libbpf's warnings go into the error of the call that caused them.
void CollectLibbpfLog();
// What libbpf wrote in this thread since the last time; for calls of it whose errno says little.
std::string TakeLibbpfLog();

// bpfObjectInfo(path) -> {maps: [{name, type, keySize, valueSize, maxEntries, flags}],
// programs: string[], rodata: Buffer | null}
Napi::Value ObjectInfo(const Napi::CallbackInfo& info);
// bpfObjectLoad(path, reuse: {map: fd}, sizes: {map: maxEntries}, rodata: Buffer | null)
// -> Promise<{maps: {name: fd}, programs: {name: fd}}>; the descriptors are the caller's.
Napi::Value ObjectLoad(const Napi::CallbackInfo& info);

}  // namespace sluice
