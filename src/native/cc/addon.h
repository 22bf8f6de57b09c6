// SPDX-License-Identifier: Apache-2.0
// What one environment (the main thread, or a worker of Node's) holds.
#pragma once

#include <napi.h>

#include <memory>

#include "worker.h"

namespace sluice {

struct AddonData {
  std::unique_ptr<Worker> net;
  std::unique_ptr<Worker> bpf;
};

// Each half of the addon puts its functions into exports.
void InitBpf(Napi::Env env, Napi::Object exports);
void InitNet(Napi::Env env, Napi::Object exports);

}  // namespace sluice
