// SPDX-License-Identifier: Apache-2.0
#include "net_packet.h"

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "fd.h"
#include "net_ns.h"
#include "worker.h"

namespace sluice {
namespace {

// In the namespace that the calling thread is in.
Failure Send(const std::vector<int>& interfaces, const std::vector<uint8_t>& frame) {
  // of no protocol: it sends and receives nothing
  FdGuard fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return Failure{"socket(AF_PACKET)", errno, ""};
  for (int ifindex : interfaces) {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = ifindex;
    ssize_t sent = sendto(fd.get(), frame.data(), frame.size(), 0,
                          reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    if (sent >= 0 || errno == ENETDOWN || errno == ENXIO || errno == ENODEV) continue;
    return Failure{"sendto", errno, ""};
  }
  return Failure{};
}

}  // namespace

Napi::Value NetSend(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  auto list = info[1].As<Napi::Array>();
  std::vector<int> interfaces;
  for (uint32_t i = 0; i < list.Length(); i++)
    interfaces.push_back(list.Get(i).As<Napi::Number>().Int32Value());
  auto buffer = info[2].As<Napi::Buffer<uint8_t>>();
  std::vector<uint8_t> frame(buffer.Data(), buffer.Data() + buffer.Length());
  return NetWorker(env).Run(
      env,
      [path, interfaces, frame]() {
        auto send = [&] { return Send(interfaces, frame); };
        return path.empty() ? send() : InNamespace(path, send);
      },
      [](Napi::Env e) -> Napi::Value { return e.Undefined(); });
}

}  // namespace sluice
