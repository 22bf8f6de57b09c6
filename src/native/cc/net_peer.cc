// SPDX-License-Identifier: Apache-2.0
#include "net_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "error.h"
#include "fd.h"

namespace sluice {
namespace {

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434  // the same on all architectures
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

bool Option(int fd, int name, void* value, socklen_t size) {
  return getsockopt(fd, SOL_SOCKET, name, value, &size) == 0;
}

// 0: the address does not fit the family.
socklen_t PeerOf(int family, const std::string& address, uint16_t port, sockaddr_storage* peer) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(peer);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(peer);
  bool dotted = address.find(':') == std::string::npos;
  peer->ss_family = family;
  if (family == AF_INET) {
    v4->sin_port = htons(port);
    return inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1 ? sizeof(*v4) : 0;
  }
  v6->sin6_port = htons(port);
  std::string text = dotted ? "::ffff:" + address : address;
  return inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1 ? sizeof(*v6) : 0;
}

}  // namespace

Napi::Value SocketReconnect(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bool lossless = false;
  uint64_t wanted = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  std::string address = info[3].As<Napi::String>().Utf8Value();
  auto port = static_cast<uint16_t>(info[4].As<Napi::Number>().Uint32Value());

  FdGuard process(syscall(SYS_pidfd_open, info[0].As<Napi::Number>().Int32Value(), 0));
  if (process.get() < 0) throw MakeNativeError(env, "pidfd_open", errno);
  FdGuard fd(syscall(SYS_pidfd_getfd, process.get(), info[1].As<Napi::Number>().Int32Value(), 0));
  if (fd.get() < 0) throw MakeNativeError(env, "pidfd_getfd", errno);
  uint64_t cookie = 0;
  int type = 0, family = 0;
  if (!Option(fd.get(), SO_COOKIE, &cookie, sizeof(cookie)) || cookie != wanted ||
      !Option(fd.get(), SO_TYPE, &type, sizeof(type)) || type != SOCK_DGRAM ||
      !Option(fd.get(), SO_DOMAIN, &family, sizeof(family)))
    throw MakeNativeError(env, "SO_COOKIE", ENOENT, "another socket has that number by now");

  sockaddr_storage peer{};
  socklen_t length = PeerOf(family, address, port, &peer);
  if (length == 0) throw MakeNativeError(env, "inet_pton", EINVAL, address);
  auto* to = reinterpret_cast<sockaddr*>(&peer);
  if (info[5].As<Napi::Boolean>().Value()) {
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    if (connect(fd.get(), &nobody, sizeof(nobody)) < 0)
      throw MakeNativeError(env, "connect(AF_UNSPEC)", errno);
  }
  if (connect(fd.get(), to, length) < 0) throw MakeNativeError(env, "connect", errno);
  return env.Undefined();
}

}  // namespace sluice
