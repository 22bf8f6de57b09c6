// SPDX-License-Identifier: Apache-2.0
#include "bpf_map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "bpf_args.h"
#include "error.h"
#include "fd.h"

namespace sluice {
namespace {

// libbpf 1.x answers -errno.
[[noreturn]] void Throw(const Napi::CallbackInfo& info, const char* syscall, int err) {
  throw MakeNativeError(info.Env(), syscall, err < 0 ? -err : errno);
}

Napi::Boolean Bool(const Napi::CallbackInfo& info, bool value) {
  return Napi::Boolean::New(info.Env(), value);
}

// What one entry takes in buffers. The kernel knows it; who calls may be wrong.
struct Sizes {
  size_t key;
  size_t value;
};

bool HasValuePerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

Sizes SizesOf(const Napi::CallbackInfo& info) {
  bpf_map_info map{};
  uint32_t size = sizeof(map);
  int err = bpf_obj_get_info_by_fd(Int(info, 0), &map, &size);
  if (err) Throw(info, "BPF_OBJ_GET_INFO_BY_FD", err);
  size_t value = map.value_size;
  if (HasValuePerCpu(map.type)) value = (value + 7) / 8 * 8 * libbpf_num_possible_cpus();
  return {map.key_size, value};
}

// The bytes of argument i; throws unless there are `least`, before the kernel reads or writes
// beyond them.
uint8_t* AtLeast(const Napi::CallbackInfo& info, size_t i, size_t least) {
  size_t length = 0;
  uint8_t* data = OptionalBytes(info, i, &length);
  if (data != nullptr ? length >= least : least == 0) return data;
  throw Napi::RangeError::New(info.Env(), "Buffer is too small: " + std::to_string(length) +
                                              " bytes, and the map needs " + std::to_string(least));
}

uint8_t* OptionalAtLeast(const Napi::CallbackInfo& info, size_t i, size_t least) {
  return OptionalBytes(info, i) == nullptr ? nullptr : AtLeast(info, i, least);
}

}  // namespace

Napi::Value MapLookup(const Napi::CallbackInfo& info) {
  Sizes sizes = SizesOf(info);
  int err =
      bpf_map_lookup_elem(Int(info, 0), AtLeast(info, 1, sizes.key), AtLeast(info, 2, sizes.value));
  if (err == -ENOENT) return Bool(info, false);
  if (err) Throw(info, "BPF_MAP_LOOKUP_ELEM", err);
  return Bool(info, true);
}

Napi::Value MapUpdate(const Napi::CallbackInfo& info) {
  Sizes sizes = SizesOf(info);
  int err = bpf_map_update_elem(Int(info, 0), AtLeast(info, 1, sizes.key),
                                AtLeast(info, 2, sizes.value), Uint(info, 3));
  if (err) Throw(info, "BPF_MAP_UPDATE_ELEM", err);
  return info.Env().Undefined();
}

Napi::Value MapDelete(const Napi::CallbackInfo& info) {
  int err = bpf_map_delete_elem(Int(info, 0), AtLeast(info, 1, SizesOf(info).key));
  if (err == -ENOENT) return Bool(info, false);
  if (err) Throw(info, "BPF_MAP_DELETE_ELEM", err);
  return Bool(info, true);
}

Napi::Value MapNextKey(const Napi::CallbackInfo& info) {
  size_t key = SizesOf(info).key;
  int err =
      bpf_map_get_next_key(Int(info, 0), OptionalAtLeast(info, 1, key), AtLeast(info, 2, key));
  if (err == -ENOENT) return Bool(info, false);
  if (err) Throw(info, "BPF_MAP_GET_NEXT_KEY", err);
  return Bool(info, true);
}

Napi::Value MapLookupBatch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint32_t count = Uint(info, 5);
  Sizes sizes = SizesOf(info);
  // hashes tell their position by a bucket, others by a key
  size_t position = std::max<size_t>(sizes.key, sizeof(uint32_t));
  int err = bpf_map_lookup_batch(Int(info, 0), OptionalAtLeast(info, 1, position),
                                 AtLeast(info, 2, position), AtLeast(info, 3, count * sizes.key),
                                 AtLeast(info, 4, count * sizes.value), &count, nullptr);
  if (err && err != -ENOENT) Throw(info, "BPF_MAP_LOOKUP_BATCH", err);
  Napi::Object result = Napi::Object::New(env);
  result.Set("count", count);
  result.Set("end", err == -ENOENT);
  return result;
}

Napi::Value MapUpdateBatch(const Napi::CallbackInfo& info) {
  uint32_t count = Uint(info, 3);
  Sizes sizes = SizesOf(info);
  LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = Uint(info, 4));
  int err = bpf_map_update_batch(Int(info, 0), AtLeast(info, 1, count * sizes.key),
                                 AtLeast(info, 2, count * sizes.value), &count, &opts);
  if (err) Throw(info, "BPF_MAP_UPDATE_BATCH", err);
  return info.Env().Undefined();
}

Napi::Value MapDeleteBatch(const Napi::CallbackInfo& info) {
  uint32_t count = Uint(info, 2);
  int err = bpf_map_delete_batch(Int(info, 0), AtLeast(info, 1, count * SizesOf(info).key), &count,
                                 nullptr);
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
  result.Set("btf", map.btf_id);
  result.Set("keyType", map.btf_key_type_id);
  result.Set("valueType", map.btf_value_type_id);
  return result;
}

Napi::Value Btf(const Napi::CallbackInfo& info) {
  FdGuard fd(bpf_btf_get_fd_by_id(Int(info, 0)));
  if (fd.get() < 0) Throw(info, "BPF_BTF_GET_FD_BY_ID", fd.get());
  bpf_btf_info btf{};
  uint32_t size = sizeof(btf);
  // once for the size, once for the types
  int err = bpf_obj_get_info_by_fd(fd.get(), &btf, &size);
  if (err) Throw(info, "BPF_OBJ_GET_INFO_BY_FD", err);
  auto types = Napi::Buffer<uint8_t>::New(info.Env(), btf.btf_size);
  bpf_btf_info room{};
  room.btf = reinterpret_cast<uint64_t>(types.Data());
  room.btf_size = types.Length();
  size = sizeof(room);
  err = bpf_obj_get_info_by_fd(fd.get(), &room, &size);
  if (err) Throw(info, "BPF_OBJ_GET_INFO_BY_FD", err);
  return types;
}

}  // namespace sluice
