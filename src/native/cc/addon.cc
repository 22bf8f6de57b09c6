// SPDX-License-Identifier: Apache-2.0
#include "addon.h"

namespace sluice {

Worker& NetWorker(Napi::Env env) {
  auto* data = env.GetInstanceData<AddonData>();
  if (!data->net) data->net = std::make_unique<Worker>(env);
  return *data->net;
}

Worker& BpfWorker(Napi::Env env) {
  auto* data = env.GetInstanceData<AddonData>();
  if (!data->bpf) data->bpf = std::make_unique<Worker>(env);
  return *data->bpf;
}

}  // namespace sluice

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new sluice::AddonData);
  sluice::InitBpf(env, exports);
  sluice::InitNet(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(sluice_native, Init)
