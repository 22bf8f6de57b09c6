// SPDX-License-Identifier: Apache-2.0
#include "addon.h"
#include "bpf_attach.h"
#include "bpf_map.h"
#include "bpf_object.h"
#include "bpf_program.h"
#include "bpf_ring.h"

namespace sluice {

void InitBpf(Napi::Env env, Napi::Object exports) {
  CollectLibbpfLog();
  auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("bpfObjectInfo", ObjectInfo);
  add("bpfObjectLoad", ObjectLoad);
  add("bpfMapLookup", MapLookup);
  add("bpfMapUpdate", MapUpdate);
  add("bpfMapDelete", MapDelete);
  add("bpfMapNextKey", MapNextKey);
  add("bpfMapLookupBatch", MapLookupBatch);
  add("bpfMapUpdateBatch", MapUpdateBatch);
  add("bpfMapDeleteBatch", MapDeleteBatch);
  add("bpfMapInfo", MapInfo);
  add("bpfBtf", Btf);
  add("bpfProgramInfo", ProgramInfo);
  add("bpfProgramTestRun", ProgramTestRun);
  add("bpfProgramLoadRaw", ProgramLoadRaw);
  add("bpfPin", Pin);
  add("bpfGetPinned", GetPinned);
  add("bpfCloseFd", CloseFd);
  add("bpfCloseFdAsync", CloseFdAsync);
  add("bpfPossibleCpus", PossibleCpus);
  add("bpfLinkCreate", LinkCreate);
  add("bpfNetfilterLinkCreate", NetfilterLinkCreate);
  add("bpfLinkUpdate", LinkUpdate);
  add("bpfLinkInfo", LinkInfo);
  add("bpfTcAttach", TcAttach);
  add("bpfTcDetach", TcDetach);
  add("bpfTcQuery", TcQuery);
  add("bpfRingOpen", RingOpen);
  add("bpfRingClose", RingClose);
}

}  // namespace sluice
