// SPDX-License-Identifier: Apache-2.0
// Attaching. All on the BPF worker: each call may wait for RTNL and for an RCU
// grace period.
#pragma once

#include <napi.h>

namespace sluice {

// (programFd, target, attachType, flags) -> Promise<link fd>; target: an ifindex or a cgroup fd
Napi::Value LinkCreate(const Napi::CallbackInfo& info);
// (linkFd, programFd) -> Promise: exchanges the program without a gap
Napi::Value LinkUpdate(const Napi::CallbackInfo& info);
// bpfNetfilterLinkCreate(programFd, netns, family, hook, priority, flags) -> Promise<fd>
Napi::Value NetfilterLinkCreate(const Napi::CallbackInfo& info);
// (linkFd) -> {id, type, programId, ifindex, cgroupId}; 0: the device or cgroup is gone, or the
// link is of another kind
Napi::Value LinkInfo(const Napi::CallbackInfo& info);
// clsact filters: (programFd, ifindex, egress, handle, priority) -> Promise
Napi::Value TcAttach(const Napi::CallbackInfo& info);
// (ifindex, egress, handle, priority) -> Promise
Napi::Value TcDetach(const Napi::CallbackInfo& info);
// (ifindex, egress, handle, priority) -> Promise<program id, 0 if there is none>
Napi::Value TcQuery(const Napi::CallbackInfo& info);

}  // namespace sluice
