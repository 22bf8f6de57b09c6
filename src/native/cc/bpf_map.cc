// SPDX-License-Identifier: Apache-2.0
#include "bpf_map.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "bpf_args.h"
#include "error.h"

namespace sluice {
namespace {

// libbpf 1.x answers -errno.
[[noreturn]] void Throw(const Napi::CallbackInfo& info, const char* syscall, int err) {
  throw MakeNativeError(info.Env(), syscall, err < 0 ? -err : errno);
}

Napi::Boolean Bool(const Napi::CallbackInfo& info, bool value) {
  return Napi::Boolean::New(info.Env(), value);
}

}  // namespace

Napi::Value MapLookup(const Napi::CallbackInfo& info) {
  int err = bpf_map_lookup_elem(Int(info, 0), Bytes(info, 1).Data(), Bytes(info, 2).Data());
  if (err == -ENOENT) return Bool(info, false);
  if (err) Throw(info, "BPF_MAP_LOOKUP_ELEM", err);
  return Bool(info, true);
}

Napi::Value MapUpdate(const Napi::CallbackInfo& info) {
  int err = bpf_map_update_elem(Int(info, 0), Bytes(info, 1).Data(), Bytes(info, 2).Data(),
                                Uint(info, 3));
  if (err) Throw(info, "BPF_MAP_UPDATE_ELEM", err);
  return info.Env().Undefined();
}

Napi::Value MapDelete(const Napi::CallbackInfo& info) {
  int err = bpf_map_delete_elem(Int(info, 0), Bytes(info, 1).Data());
  if (err == -ENOENT) return Bool(info, false);
  if (err) Throw(info, "BPF_MAP_DELETE_ELEM", err);
  return Bool(info, true);
}

Napi::Value MapNextKey(const Napi::CallbackInfo& info) {
  int err = bpf_map_get_next_key(Int(info, 0), OptionalBytes(info, 1), Bytes(info, 2).Data());
  if (err == -ENOENT) return Bool(info, false);
  if (err) Throw(info, "BPF_MAP_GET_NEXT_KEY", err);
  return Bool(info, true);
}

Napi::Value MapLookupBatch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint32_t count = Uint(info, 5);
  int err = bpf_map_lookup_batch(Int(info, 0), OptionalBytes(info, 1), Bytes(info, 2).Data(),
                                 Bytes(info, 3).Data(), Bytes(info, 4).Data(), &count, nullptr);
  if (err && err != -ENOENT) Throw(info, "BPF_MAP_LOOKUP_BATCH", err);
  Napi::Object result = Napi::Object::New(env);
  result.Set("count", count);
  result.Set("end", err == -ENOENT);
  return result;
}

Napi::Value MapUpdateBatch(const Napi::CallbackInfo& info) {
  uint32_t count = Uint(info, 3);
  LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = Uint(info, 4));
  int err = bpf_map_update_batch(Int(info, 0), Bytes(info, 1).Data(), Bytes(info, 2).Data(), &count,
                                 &opts);
  if (err) Throw(info, "BPF_MAP_UPDATE_BATCH", err);
  return info.Env().Undefined();
}

Napi::Value MapDeleteBatch(const Napi::CallbackInfo& info) {
  uint32_t count = Uint(info, 2);
  int err = bpf_map_delete_batch(Int(info, 0), Bytes(info, 1).Data(), &count, nullptr);
  if (err) Throw(info, "BPF_MAP_DELETE_BATCH", err);
  return info.Env().Undefined();
}

Napi::Value MapInfo(const Napi::CallbackInfo& info) {
  bpf_map_info map{};
  uint32_t size = sizeof(map);
  int err = bpf_obj_get_info_by_fd(Int(info, 0), &map, &size);
  if (err) Throw(info, "BPF_OBJ_GET_INFO_BY_FD", err);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", map.id);
  result.Set("type", map.type);
  result.Set("keySize", map.key_size);
  result.Set("valueSize", map.value_size);
  result.Set("maxEntries", map.max_entries);
  result.Set("flags", map.map_flags);
  result.Set("name", map.name);
  return result;
}

}  // namespace sluice
