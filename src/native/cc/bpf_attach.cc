// SPDX-License-Identifier: Apache-2.0
#include "bpf_attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "bpf_args.h"
#include "bpf_object.h"
#include "error.h"
#include "net_ns.h"
#include "worker.h"

namespace sluice {
namespace {

// struct bpf_link_info of a tcx or XDP link begins like this (Linux 6.6); the
// system's header knows only XDP's, whose place is the same.
uint32_t IfindexOf(const bpf_link_info& link) { return link.xdp.ifindex; }

struct Filter {
  bpf_tc_hook hook{};
  bpf_tc_opts opts{};

  Filter(uint32_t ifindex, bool egress, uint32_t handle, uint32_t priority) {
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
    opts.sz = sizeof(opts);
    opts.handle = handle;
    opts.priority = priority;
  }
};

// union bpf_attr of BPF_LINK_CREATE for a netfilter program (Linux 6.4), which
// the system's header may not know yet.
struct NetfilterLink {
  uint32_t program;
  uint32_t target;  // unused: the namespace is that of the calling thread
  uint32_t type;
  uint32_t flags;
  uint32_t family;
  uint32_t hook;
  int32_t priority;
  uint32_t netfilter_flags;
};
constexpr uint32_t kNetfilter = 45;  // BPF_NETFILTER

Napi::Value Nothing(Napi::Env env) { return env.Undefined(); }

}  // namespace

Napi::Value LinkCreate(const Napi::CallbackInfo& info) {
  int program = Int(info, 0);
  uint32_t target = Uint(info, 1), type = Uint(info, 2), flags = Uint(info, 3);
  auto fd = std::make_shared<int>(-1);
  return BpfWorker(info.Env())
      .Run(
          info.Env(),
          [=]() {
            LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
            *fd = bpf_link_create(program, static_cast<int>(target),
                                  static_cast<bpf_attach_type>(type), &opts);
            return *fd < 0 ? Failure{"BPF_LINK_CREATE", -*fd, ""} : Failure{};
          },
          [fd](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, *fd); });
}

Napi::Value NetfilterLinkCreate(const Napi::CallbackInfo& info) {
  NetfilterLink link{};
  link.program = static_cast<uint32_t>(Int(info, 0));
  link.type = kNetfilter;
  link.family = Uint(info, 2);
  link.hook = Uint(info, 3);
  link.priority = Int(info, 4);
  link.netfilter_flags = Uint(info, 5);
  std::string netns = Str(info, 1);
  auto fd = std::make_shared<int>(-1);
  return NetWorker(info.Env())
      .Run(
          info.Env(),
          [=]() {
            return InNamespace(netns, [&]() {
              NetfilterLink attr = link;
              *fd = static_cast<int>(syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)));
              return *fd < 0 ? Failure{"BPF_LINK_CREATE", errno, ""} : Failure{};
            });
          },
          [fd](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, *fd); });
}

Napi::Value LinkUpdate(const Napi::CallbackInfo& info) {
  int link = Int(info, 0), program = Int(info, 1);
  return BpfWorker(info.Env())
      .Run(
          info.Env(),
          [=]() {
            int err = bpf_link_update(link, program, nullptr);
            return err ? Failure{"BPF_LINK_UPDATE", -err, ""} : Failure{};
          },
          Nothing);
}

Napi::Value LinkInfo(const Napi::CallbackInfo& info) {
  bpf_link_info link{};
  uint32_t size = sizeof(link);
  int err = bpf_obj_get_info_by_fd(Int(info, 0), &link, &size);
  if (err) throw MakeNativeError(info.Env(), "BPF_OBJ_GET_INFO_BY_FD", -err);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", link.id);
  result.Set("type", link.type);
  result.Set("programId", link.prog_id);
  bool cgroup = link.type == BPF_LINK_TYPE_CGROUP;
  result.Set("ifindex", cgroup ? 0 : IfindexOf(link));
  result.Set(
      "cgroupId",
      Napi::BigInt::New(info.Env(), static_cast<uint64_t>(cgroup ? link.cgroup.cgroup_id : 0)));
  return result;
}

Napi::Value TcAttach(const Napi::CallbackInfo& info) {
  int program = Int(info, 0);
  auto filter = std::make_shared<Filter>(Uint(info, 1), info[2].ToBoolean().Value(), Uint(info, 3),
                                         Uint(info, 4));
  return BpfWorker(info.Env())
      .Run(
          info.Env(),
          [=]() {
            TakeLibbpfLog();
            filter->opts.prog_fd = program;
            filter->opts.flags = BPF_TC_F_REPLACE;
            int err = bpf_tc_attach(&filter->hook, &filter->opts);
            return err ? Failure{"RTM_NEWTFILTER", -err, TakeLibbpfLog()} : Failure{};
          },
          Nothing);
}

Napi::Value TcDetach(const Napi::CallbackInfo& info) {
  auto filter = std::make_shared<Filter>(Uint(info, 0), info[1].ToBoolean().Value(), Uint(info, 2),
                                         Uint(info, 3));
  return BpfWorker(info.Env())
      .Run(
          info.Env(),
          [=]() {
            int err = bpf_tc_detach(&filter->hook, &filter->opts);
            bool absent = err == -ENOENT || err == -EINVAL || err == -ENODEV;
            return err && !absent ? Failure{"RTM_DELTFILTER", -err, ""} : Failure{};
          },
          Nothing);
}

Napi::Value TcQuery(const Napi::CallbackInfo& info) {
  auto filter = std::make_shared<Filter>(Uint(info, 0), info[1].ToBoolean().Value(), Uint(info, 2),
                                         Uint(info, 3));
  return BpfWorker(info.Env())
      .Run(
          info.Env(),
          [=]() {
            int err = bpf_tc_query(&filter->hook, &filter->opts);
            if (err) filter->opts.prog_id = 0;
            return Failure{};
          },
          [filter](Napi::Env env) -> Napi::Value {
            return Napi::Number::New(env, filter->opts.prog_id);
          });
}

}  // namespace sluice
