// SPDX-License-Identifier: Apache-2.0
#include "net_ns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "error.h"
#include "fd.h"

namespace sluice {
namespace {

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71  // include/uapi/asm-generic/socket.h of 5.14
#endif

std::string OwnNamespace() {
  return "/proc/self/task/" + std::to_string(syscall(SYS_gettid)) + "/ns/net";
}

Failure SetLoopbackUp() {
  FdGuard fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return Failure{"socket", errno, ""};
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  if (ioctl(fd.get(), SIOCGIFFLAGS, &request) < 0) return Failure{"SIOCGIFFLAGS", errno, ""};
  request.ifr_flags |= IFF_UP;
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) < 0) return Failure{"SIOCSIFFLAGS", errno, ""};
  return Failure{};
}

// As ip-netns(8) does, so that namespaces made by either are seen by both: the
// directory is a shared mount point, else a mount made here would stay behind
// in other mount namespaces after we removed ours.
Failure PrepareDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), 0755) < 0 && errno != EEXIST)
    return Failure{"mkdir " + directory, errno, ""};
  if (mount("", directory.c_str(), "none", MS_SHARED | MS_REC, nullptr) == 0) return Failure{};
  if (errno != EINVAL) return Failure{"mount --make-shared " + directory, errno, ""};
  if (mount(directory.c_str(), directory.c_str(), "none", MS_BIND | MS_REC, nullptr) < 0)
    return Failure{"mount --bind " + directory, errno, ""};
  if (mount("", directory.c_str(), "none", MS_SHARED | MS_REC, nullptr) < 0)
    return Failure{"mount --make-shared " + directory, errno, ""};
  return Failure{};
}

Failure Bind(const std::string& path) {
  // readable to us: Unbind looks at what is below, and may lack CAP_DAC_OVERRIDE
  FdGuard file(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  if (file.get() < 0) return Failure{"open " + path, errno, ""};
  FdGuard home(open(OwnNamespace().c_str(), O_RDONLY | O_CLOEXEC));
  Failure failure;
  if (home.get() < 0) {
    failure = Failure{"open", errno, ""};
  } else if (unshare(CLONE_NEWNET) < 0) {
    failure = Failure{"unshare", errno, ""};
  } else {
    failure = SetLoopbackUp();
    if (failure.syscall.empty() &&
        mount(OwnNamespace().c_str(), path.c_str(), "none", MS_BIND, nullptr) < 0)
      failure = Failure{"mount " + path, errno, ""};
    if (setns(home.get(), CLONE_NEWNET) < 0) abort();  // see InNamespace
  }
  if (!failure.syscall.empty()) unlink(path.c_str());
  return failure;
}

// Whether `fd` is a network namespace; it may be of a bound file or one of /proc.
bool IsNetns(int fd) {
  struct statfs fs {};
  return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC &&
         ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

// Only what Bind makes: a namespace bound to a file (more than once, if two
// raced), and the empty file below, which is all that an interrupted creation
// leaves. A path that came to mean something else must survive.
Failure Unbind(const std::string& path) {
  for (;;) {
    FdGuard fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    if (fd.get() < 0) return Failure{"open " + path, errno == ELOOP ? EINVAL : errno, ""};
    struct stat st {};
    if (fstat(fd.get(), &st) < 0) return Failure{"stat " + path, errno, ""};
    if (!IsNetns(fd.get())) {
      if (S_ISREG(st.st_mode) && st.st_size == 0) break;
      return Failure{"netns delete " + path, EINVAL, "not a network namespace"};
    }
    if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
      return Failure{"umount " + path, errno, ""};
  }
  if (unlink(path.c_str()) < 0) return Failure{"unlink " + path, errno, ""};
  return Failure{};
}

Napi::Value Nothing(Napi::Env env) { return env.Undefined(); }

std::string Text(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::String>().Utf8Value();
}

// An address of either family with a port; 0: the text is none.
socklen_t ParseEnd(const std::string& address, uint16_t port, sockaddr_storage* end) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(end);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(end);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof(*v4);
  }
  if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof(*v6);
  }
  return 0;
}

bool IsLoopback(const sockaddr_storage& end) {
  if (end.ss_family == AF_INET)
    return ntohl(reinterpret_cast<const sockaddr_in&>(end).sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
  return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(end).sin6_addr);
}

bool LoopbackIsUp() {
  FdGuard fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  return fd.get() >= 0 && ioctl(fd.get(), SIOCGIFFLAGS, &request) == 0 &&
         (request.ifr_flags & IFF_UP) != 0;
}

// A small datagram takes 768 bytes or more of it, and the kernel doubles what it is told: 5,000.
constexpr int kReceiveBuffer = 2 << 20;

void MakeRoom(int fd) {
  int size = kReceiveBuffer;
  // without CAP_NET_ADMIN as much as net.core.rmem_max allows
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

struct SocketRequest {
  bool tcp;
  std::string address;
  uint16_t port;
  std::string action;
  uint32_t mark;
};

// In the namespace that the calling thread is in.
Failure OpenSocket(const SocketRequest& request, FdGuard* result) {
  sockaddr_storage end{};
  socklen_t length = ParseEnd(request.address, request.port, &end);
  if (length == 0) return Failure{"inet_pton " + request.address, EINVAL, ""};
  FdGuard fd(socket(end.ss_family,
                    (request.tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return Failure{"socket", errno, ""};
  if (request.mark != 0 &&
      setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &request.mark, sizeof(request.mark)) < 0)
    return Failure{"SO_MARK", errno, ""};
  if (!request.tcp) MakeRoom(fd.get());
  auto* address = reinterpret_cast<sockaddr*>(&end);
  if (request.action == "connect") {
    if (connect(fd.get(), address, length) < 0 && errno != EINPROGRESS)
      return Failure{"connect", errno, ""};
  } else {
    // The kernel takes the address for a broadcast one as long as it has no local route, and
    // would send from another one for good.
    if (IsLoopback(end) && !LoopbackIsUp()) return Failure{"bind", ENETDOWN, ""};
    // a port whose connections of a moment ago are not forgotten yet is free
    int on = 1;
    if (request.tcp && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
      return Failure{"SO_REUSEADDR", errno, ""};
    if (bind(fd.get(), address, length) < 0) return Failure{"bind", errno, ""};
    if (request.action == "listen" && listen(fd.get(), SOMAXCONN) < 0)
      return Failure{"listen", errno, ""};
  }
  *result = std::move(fd);
  return Failure{};
}

}  // namespace

Failure InNamespace(const std::string& path, const std::function<Failure()>& inside) {
  FdGuard home(open(OwnNamespace().c_str(), O_RDONLY | O_CLOEXEC));
  if (home.get() < 0) return Failure{"open", errno, ""};
  if (path.empty()) {
    if (unshare(CLONE_NEWNET) < 0) return Failure{"unshare", errno, ""};
  } else {
    // O_NONBLOCK: the path of a FIFO would stop this thread for good.
    FdGuard target(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (target.get() < 0) return Failure{"open " + path, errno, ""};
    if (setns(target.get(), CLONE_NEWNET) < 0) return Failure{"setns " + path, errno, ""};
  }
  Failure failure = inside();
  if (setns(home.get(), CLONE_NEWNET) < 0) abort();
  return failure;
}

Napi::Value NetnsCreate(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 0);
  return NetWorker(info.Env())
      .Run(
          info.Env(),
          [path]() {
            Failure failure = PrepareDirectory(path.substr(0, path.rfind('/')));
            return failure.syscall.empty() ? Bind(path) : failure;
          },
          Nothing);
}

Napi::Value NetnsDelete(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 0);
  return NetWorker(info.Env())
      .Run(
          info.Env(), [path]() { return Unbind(path); }, Nothing);
}

Napi::Value NetnsInfo(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 0);
  struct Found {
    bool is = false;
    uint64_t inode = 0;
    uint64_t cookie = 0;
  };
  auto found = std::make_shared<Found>();
  return NetWorker(info.Env())
      .Run(
          info.Env(),
          [path, found]() {
            FdGuard fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
            struct stat st {};
            if (fd.get() < 0 || !IsNetns(fd.get()) || fstat(fd.get(), &st) < 0) return Failure{};
            found->is = true;
            found->inode = st.st_ino;
            return InNamespace(path, [found]() {
              FdGuard sock(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
              socklen_t size = sizeof(found->cookie);
              // before 5.14 there is no cookie: 0
              if (sock.get() >= 0)
                getsockopt(sock.get(), SOL_SOCKET, SO_NETNS_COOKIE, &found->cookie, &size);
              return Failure{};
            });
          },
          [found](Napi::Env env) -> Napi::Value {
            if (!found->is) return env.Null();
            Napi::Object result = Napi::Object::New(env);
            result.Set("inode", Napi::BigInt::New(env, found->inode));
            result.Set("cookie", Napi::BigInt::New(env, found->cookie));
            return result;
          });
}

Napi::Value NetnsWrite(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 0), file = Text(info, 1), text = Text(info, 2);
  return NetWorker(info.Env())
      .Run(
          info.Env(),
          [=]() {
            return InNamespace(path, [&]() {
              FdGuard fd(open(file.c_str(), O_WRONLY | O_CLOEXEC));
              if (fd.get() < 0) return Failure{"open " + file, errno, ""};
              if (write(fd.get(), text.data(), text.size()) < 0)
                return Failure{"write " + file, errno, ""};
              return Failure{};
            });
          },
          Nothing);
}

Napi::Value NetnsRead(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 0), file = Text(info, 1);
  auto text = std::make_shared<std::string>();
  return NetWorker(info.Env())
      .Run(
          info.Env(),
          [=]() {
            return InNamespace(path, [&]() {
              FdGuard fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
              if (fd.get() < 0) return Failure{"open " + file, errno, ""};
              char buffer[4096];
              ssize_t length = read(fd.get(), buffer, sizeof(buffer));
              if (length < 0) return Failure{"read " + file, errno, ""};
              text->assign(buffer, length);
              return Failure{};
            });
          },
          [text](Napi::Env env) -> Napi::Value { return Napi::String::New(env, *text); });
}

Napi::Value NetnsSocket(const Napi::CallbackInfo& info) {
  std::string path = Text(info, 0);
  SocketRequest request{info[1].As<Napi::Boolean>().Value(), Text(info, 2),
                        static_cast<uint16_t>(info[3].As<Napi::Number>().Uint32Value()),
                        Text(info, 4), info[5].As<Napi::Number>().Uint32Value()};
  auto fd = std::make_shared<FdGuard>();
  return NetWorker(info.Env())
      .Run(
          info.Env(),
          [path, request, fd]() {
            return InNamespace(path, [&]() { return OpenSocket(request, fd.get()); });
          },
          [fd](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, fd->Release()); });
}

Napi::Value SocketDrops(const Napi::CallbackInfo& info) {
  int fd = info[0].As<Napi::Number>().Int32Value();
  uint32_t counts[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof(counts);
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, counts, &size) < 0)
    throw MakeNativeError(info.Env(), "SO_MEMINFO", errno);
  return Napi::Number::New(info.Env(), counts[SK_MEMINFO_DROPS]);
}

}  // namespace sluice
