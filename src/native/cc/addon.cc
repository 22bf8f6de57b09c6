// SPDX-License-Identifier: Apache-2.0
#include "addon.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new sluice::AddonData);
  sluice::InitBpf(env, exports);
  sluice::InitNet(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(sluice_native, Init)
