// SPDX-License-Identifier: Apache-2.0
// Object files: what is in them, and loading them.
#include "bpf_object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <cerrno>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "bpf_args.h"
#include "error.h"
#include "fd.h"

namespace sluice {
namespace {

// What libbpf has to say while a call of this thread runs, verifier log included.
thread_local std::string libbpf_log;

int Collect(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG) return 0;
  va_list copy;
  va_copy(copy, args);
  int length = vsnprintf(nullptr, 0, format, copy);
  va_end(copy);
  if (length <= 0) return 0;
  size_t at = libbpf_log.size();
  libbpf_log.resize(at + length + 1);
  vsnprintf(libbpf_log.data() + at, length + 1, format, args);
  libbpf_log.resize(at + length);
  return 0;
}

using Object = std::unique_ptr<bpf_object, decltype(&bpf_object__close)>;

Object Open(const std::string& path) {
  libbpf_log.clear();
  return Object(bpf_object__open_file(path.c_str(), nullptr), bpf_object__close);
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// .rodata's map is named after the object; its section is what callers mean.
bool IsRodata(const bpf_map* map) { return EndsWith(bpf_map__name(map), ".rodata"); }

struct LoadRequest {
  std::string path;
  std::map<std::string, FdGuard> reuse;
  std::map<std::string, uint32_t> sizes;
  std::vector<uint8_t> rodata;
};

int Dup(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }

class Loader : public Napi::AsyncWorker {
 public:
  Loader(Napi::Env env, LoadRequest request)
      : Napi::AsyncWorker(env),
        request_(std::move(request)),
        deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise Promise() const { return deferred_.Promise(); }

  void Execute() override {
    Object object = Open(request_.path);
    if (!object) return Fail("bpf_object__open", errno);
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object.get()) {
      std::string name = bpf_map__name(map);
      auto reuse = request_.reuse.find(name);
      auto size = request_.sizes.find(name);
      int err = 0;
      if (size != request_.sizes.end()) err = bpf_map__set_max_entries(map, size->second);
      if (!err && reuse != request_.reuse.end()) err = bpf_map__reuse_fd(map, reuse->second.get());
      if (!err && IsRodata(map) && !request_.rodata.empty())
        err = bpf_map__set_initial_value(map, request_.rodata.data(), request_.rodata.size());
      if (err) return Fail(("map " + name).c_str(), -err);
    }
    int err = bpf_object__load(object.get());
    if (err) return Fail("BPF_PROG_LOAD", -err);
    bpf_object__for_each_map(map, object.get()) {
      if (!bpf_map__is_internal(map)) maps_[bpf_map__name(map)] = FdGuard(Dup(bpf_map__fd(map)));
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object.get()) {
      programs_[bpf_program__name(program)] = FdGuard(Dup(bpf_program__fd(program)));
    }
  }

  void OnOK() override {
    if (error_ != 0) {
      deferred_.Reject(MakeNativeError(Env(), syscall_.c_str(), error_, log_).Value());
      return;
    }
    Napi::Object result = Napi::Object::New(Env());
    result.Set("maps", Fds(maps_));
    result.Set("programs", Fds(programs_));
    deferred_.Resolve(result);
  }

 private:
  void Fail(const char* syscall, int error) {
    syscall_ = syscall;
    error_ = error;
    log_ = libbpf_log;
  }

  Napi::Object Fds(std::map<std::string, FdGuard>& fds) {
    Napi::Object object = Napi::Object::New(Env());
    for (auto& [name, fd] : fds) object.Set(name, Napi::Number::New(Env(), fd.Release()));
    return object;
  }

  LoadRequest request_;
  Napi::Promise::Deferred deferred_;
  std::map<std::string, FdGuard> maps_, programs_;
  std::string syscall_, log_;
  int error_ = 0;
};

}  // namespace

void CollectLibbpfLog() { libbpf_set_print(Collect); }

std::string TakeLibbpfLog() { return std::exchange(libbpf_log, {}); }

Napi::Value ObjectInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Object object = Open(Str(info, 0));
  if (!object) throw MakeNativeError(env, "bpf_object__open", errno, libbpf_log);
  Napi::Array maps = Napi::Array::New(env), programs = Napi::Array::New(env);
  Napi::Value rodata = env.Null();
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object.get()) {
    if (IsRodata(map)) {
      size_t size = 0;
      const void* value = bpf_map__initial_value(map, &size);
      if (value != nullptr)
        rodata = Napi::Buffer<uint8_t>::Copy(env, static_cast<const uint8_t*>(value), size);
    }
    if (bpf_map__is_internal(map)) continue;
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", bpf_map__name(map));
    entry.Set("type", static_cast<uint32_t>(bpf_map__type(map)));
    entry.Set("keySize", bpf_map__key_size(map));
    entry.Set("valueSize", bpf_map__value_size(map));
    entry.Set("maxEntries", bpf_map__max_entries(map));
    entry.Set("flags", bpf_map__map_flags(map));
    maps.Set(maps.Length(), entry);
  }
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) {
    programs.Set(programs.Length(), Napi::String::New(env, bpf_program__name(program)));
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("maps", maps);
  result.Set("programs", programs);
  result.Set("rodata", rodata);
  return result;
}

Napi::Value ObjectLoad(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  LoadRequest request;
  request.path = Str(info, 0);
  auto reuse = info[1].As<Napi::Object>(), sizes = info[2].As<Napi::Object>();
  // dup: the caller may close its descriptor while the load is under way
  for (auto key : reuse.GetPropertyNames()) {
    Napi::Value name = key.second;
    int fd = Dup(reuse.Get(name).As<Napi::Number>().Int32Value());
    if (fd < 0) throw MakeNativeError(env, "dup", errno);
    request.reuse.emplace(name.ToString().Utf8Value(), FdGuard(fd));
  }
  for (auto key : sizes.GetPropertyNames()) {
    Napi::Value name = key.second;
    request.sizes[name.ToString().Utf8Value()] = sizes.Get(name).As<Napi::Number>().Uint32Value();
  }
  size_t length = 0;
  if (uint8_t* rodata = OptionalBytes(info, 3, &length))
    request.rodata.assign(rodata, rodata + length);
  auto* loader = new Loader(env, std::move(request));
  Napi::Promise promise = loader->Promise();
  loader->Queue();
  return promise;
}

}  // namespace sluice
