// SPDX-License-Identifier: Apache-2.0
#include "bpf_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "bpf_args.h"
#include "error.h"
#include "worker.h"

namespace sluice {
namespace {

std::string Hex(const uint8_t* bytes, size_t length) {
  std::string text;
  char pair[3];
  for (size_t i = 0; i < length; i++) {
    snprintf(pair, sizeof(pair), "%02x", bytes[i]);
    text += pair;
  }
  return text;
}

}  // namespace

Napi::Value ProgramInfo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bpf_prog_info program{};
  uint32_t size = sizeof(program);
  int err = bpf_obj_get_info_by_fd(Int(info, 0), &program, &size);
  if (err) throw MakeNativeError(env, "BPF_OBJ_GET_INFO_BY_FD", -err);
  Napi::Object result = Napi::Object::New(env);
  result.Set("id", program.id);
  result.Set("type", program.type);
  result.Set("tag", Hex(program.tag, sizeof(program.tag)));
  result.Set("name", program.name);
  result.Set("runTimeNs", Napi::BigInt::New(env, static_cast<uint64_t>(program.run_time_ns)));
  result.Set("runCount", Napi::BigInt::New(env, static_cast<uint64_t>(program.run_cnt)));
  result.Set("jitedLength", program.jited_prog_len);
  result.Set("verifiedInstructions", program.verified_insns);
  return result;
}

Napi::Value ProgramTestRun(const Napi::CallbackInfo& info) {
  struct Run {
    int fd;
    std::vector<uint8_t> in, out, context, context_out;
    bpf_test_run_opts opts{};
  };
  auto run = std::make_shared<Run>();
  size_t length = 0;
  run->fd = Int(info, 0);
  if (uint8_t* data = OptionalBytes(info, 1, &length)) run->in.assign(data, data + length);
  if (uint8_t* context = OptionalBytes(info, 2, &length))
    run->context.assign(context, context + length);
  run->context_out.resize(run->context.size());
  run->out.resize(Uint(info, 4));
  run->opts.sz = sizeof(run->opts);
  run->opts.repeat = Int(info, 3);
  if (!run->in.empty()) {
    run->opts.data_in = run->in.data();
    run->opts.data_size_in = run->in.size();
    run->opts.data_out = run->out.data();
    run->opts.data_size_out = run->out.size();
  }
  if (!run->context.empty()) {
    run->opts.ctx_in = run->context.data();
    run->opts.ctx_size_in = run->context.size();
    // a syscall program's context is not given back
    if (!run->in.empty()) {
      run->opts.ctx_out = run->context_out.data();
      run->opts.ctx_size_out = run->context_out.size();
    }
  }
  return BpfWorker(info.Env())
      .Run(
          info.Env(),
          [run]() {
            int err = bpf_prog_test_run_opts(run->fd, &run->opts);
            return err ? Failure{"BPF_PROG_TEST_RUN", -err, ""} : Failure{};
          },
          [run](Napi::Env env) -> Napi::Value {
            Napi::Object result = Napi::Object::New(env);
            result.Set("retval", static_cast<int32_t>(run->opts.retval));
            result.Set("data",
                       Napi::Buffer<uint8_t>::Copy(env, run->out.data(), run->opts.data_size_out));
            result.Set("context", Napi::Buffer<uint8_t>::Copy(env, run->context_out.data(),
                                                              run->opts.ctx_size_out));
            result.Set("durationNs", run->opts.duration);
            return result;
          });
}

Napi::Value ProgramLoadRaw(const Napi::CallbackInfo& info) {
  auto instructions = Bytes(info, 1);
  LIBBPF_OPTS(bpf_prog_load_opts, opts);
  opts.expected_attach_type = static_cast<bpf_attach_type>(Uint(info, 2));
  int fd = bpf_prog_load(static_cast<bpf_prog_type>(Uint(info, 0)), "probe", "GPL",
                         reinterpret_cast<bpf_insn*>(instructions.Data()),
                         instructions.Length() / sizeof(bpf_insn), &opts);
  if (fd < 0) throw MakeNativeError(info.Env(), "BPF_PROG_LOAD", -fd);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value Pin(const Napi::CallbackInfo& info) {
  std::string path = Str(info, 1);
  int err = bpf_obj_pin(Int(info, 0), path.c_str());
  if (err) throw MakeNativeError(info.Env(), "BPF_OBJ_PIN", -err, path);
  return info.Env().Undefined();
}

Napi::Value GetPinned(const Napi::CallbackInfo& info) {
  std::string path = Str(info, 0);
  int fd = bpf_obj_get(path.c_str());
  if (fd < 0) throw MakeNativeError(info.Env(), "BPF_OBJ_GET", -fd, path);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value CloseFd(const Napi::CallbackInfo& info) {
  if (close(Int(info, 0)) < 0) throw MakeNativeError(info.Env(), "close", errno);
  return info.Env().Undefined();
}

Napi::Value CloseFdAsync(const Napi::CallbackInfo& info) {
  int fd = Int(info, 0);
  return BpfWorker(info.Env())
      .Run(
          info.Env(),
          [fd]() {
            return close(fd) < 0 ? Failure{"close", errno, ""} : Failure{};
          },
          [](Napi::Env env) { return env.Undefined(); });
}

Napi::Value PossibleCpus(const Napi::CallbackInfo& info) {
  int count = libbpf_num_possible_cpus();
  if (count < 0) throw MakeNativeError(info.Env(), "libbpf_num_possible_cpus", -count);
  return Napi::Number::New(info.Env(), count);
}

}  // namespace sluice
