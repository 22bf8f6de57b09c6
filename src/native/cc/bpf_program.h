// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace sluice {

// (fd) -> {id, type, tag, name, runTimeNs: bigint, runCount: bigint, jitedLength,
// verifiedInstructions}
Napi::Value ProgramInfo(const Napi::CallbackInfo& info);
// (fd, data: Buffer | null, context: Buffer | null, repeat, dataOut: size)
// -> Promise<{retval, data, context, durationNs}>
Napi::Value ProgramTestRun(const Napi::CallbackInfo& info);
// (type, instructions: Buffer, expectedAttachType) -> fd: one bare program, to probe the kernel
Napi::Value ProgramLoadRaw(const Napi::CallbackInfo& info);
// Descriptors: (fd, path); (path) -> fd; (fd) at once; (fd) -> Promise, where closing may wait
Napi::Value Pin(const Napi::CallbackInfo& info);
Napi::Value GetPinned(const Napi::CallbackInfo& info);
Napi::Value CloseFd(const Napi::CallbackInfo& info);
Napi::Value CloseFdAsync(const Napi::CallbackInfo& info);
// -> number of CPUs that per-CPU values have room for
Napi::Value PossibleCpus(const Napi::CallbackInfo& info);

}  // namespace sluice
