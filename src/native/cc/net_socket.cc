// SPDX-License-Identifier: Apache-2.0
#include "net_socket.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <uv.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "error.h"
#include "net_ns.h"
#include "worker.h"

namespace sluice {
namespace {

using Message = std::vector<uint8_t>;

constexpr int kDumpAttempts = 16;
// Link dumps with statistics are large; the kernel fills what it is offered.
constexpr size_t kReceiveSize = 64 * 1024;

struct Listener {
  uv_poll_t poll;
  Napi::FunctionReference callback;
  napi_env env;
  int fd;
};

struct Socket {
  mnl_socket* handle = nullptr;
  uint32_t sequence = 1;
  Listener* listener = nullptr;  // JS thread only

  ~Socket() {
    if (handle != nullptr) mnl_socket_close(handle);
  }
};

void StopListening(Socket& socket) {
  if (socket.listener == nullptr) return;
  Listener* listener = socket.listener;
  socket.listener = nullptr;
  listener->callback.Reset();
  uv_poll_stop(&listener->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&listener->poll),
           [](uv_handle_t* handle) { delete static_cast<Listener*>(handle->data); });
}

// JS owns a socket through this; work in flight holds it too.
struct SocketBox {
  std::shared_ptr<Socket> socket;
};

SocketBox* BoxOf(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsExternal())
    throw Napi::TypeError::New(info.Env(), "not a netlink socket");
  SocketBox* box = info[0].As<Napi::External<SocketBox>>().Data();
  if (!box->socket) throw MakeNativeError(info.Env(), "netlink", EBADF, "the socket is closed");
  return box;
}

// The kernel's explanation of an error (NETLINK_EXT_ACK).
std::string ExtendedAck(const nlmsghdr* header, const nlmsgerr* error) {
  if (!(header->nlmsg_flags & NLM_F_ACK_TLVS)) return "";
  size_t offset = sizeof(*error);
  if (!(header->nlmsg_flags & NLM_F_CAPPED)) offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
  std::string text;
  mnl_attr_parse(
      header, MNL_ALIGN(offset),
      [](const nlattr* attribute, void* data) {
        if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG)
          *static_cast<std::string*>(data) = mnl_attr_get_str(attribute);
        return MNL_CB_OK;
      },
      &text);
  return text;
}

enum class Read { kMore, kDone, kInterrupted, kFailed };

// Takes one datagram apart.
Read ReadAnswer(const uint8_t* data, int length, uint32_t sequence, std::vector<Message>& answer,
                bool& interrupted, Failure& failure, const std::string& name) {
  for (auto* header = reinterpret_cast<const nlmsghdr*>(data); mnl_nlmsg_ok(header, length);
       header = mnl_nlmsg_next(header, &length)) {
    if (header->nlmsg_seq != sequence) continue;  // of an exchange that was given up
    if (header->nlmsg_flags & NLM_F_DUMP_INTR) interrupted = true;
    if (header->nlmsg_type == NLMSG_ERROR) {
      auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
      if (error->error == 0) return Read::kDone;
      failure = Failure{name, -error->error, ExtendedAck(header, error)};
      return Read::kFailed;
    }
    if (header->nlmsg_type == NLMSG_DONE) {
      int error = 0;
      if (mnl_nlmsg_get_payload_len(header) >= sizeof(error))
        memcpy(&error, mnl_nlmsg_get_payload(header), sizeof(error));
      if (error >= 0) return interrupted ? Read::kInterrupted : Read::kDone;
      failure = Failure{name, -error, ""};
      return Read::kFailed;
    }
    auto* bytes = reinterpret_cast<const uint8_t*>(header);
    answer.emplace_back(bytes, bytes + header->nlmsg_len);
  }
  return Read::kMore;
}

// Sends the messages of `size` bytes in one datagram, all with one sequence
// number, and adds what comes back to `answer`.
Failure ExchangeOne(Socket& socket, const std::string& name, nlmsghdr* request, size_t size,
                    std::vector<uint8_t>& buffer, std::vector<Message>& answer) {
  size_t before = answer.size();
  for (int attempt = 0; attempt < kDumpAttempts; attempt++) {
    uint32_t sequence = socket.sequence++;
    int left = static_cast<int>(size);
    for (nlmsghdr* header = request; mnl_nlmsg_ok(header, left);
         header = mnl_nlmsg_next(header, &left))
      header->nlmsg_seq = sequence;
    if (mnl_socket_sendto(socket.handle, request, size) < 0) return Failure{name, errno, ""};
    answer.resize(before);
    bool interrupted = false;
    Failure failure;
    Read read = Read::kMore;
    while (read == Read::kMore) {
      ssize_t length = mnl_socket_recvfrom(socket.handle, buffer.data(), buffer.size());
      if (length < 0) {
        if (errno == EINTR) continue;
        return Failure{name, errno, ""};
      }
      read = ReadAnswer(buffer.data(), static_cast<int>(length), sequence, answer, interrupted,
                        failure, name);
    }
    if (read != Read::kInterrupted) return failure;
  }
  return Failure{name, EAGAIN, "the table kept changing while it was read"};
}

// One message after the other, unless they are to go `together`: the kernel
// would go on behind one that failed if it had them all, and a link would come
// up without its settings.
Failure Exchange(Socket& socket, const std::string& name, Message request, bool together,
                 std::vector<Message>& answer) {
  std::vector<uint8_t> buffer(kReceiveSize);
  int left = static_cast<int>(request.size());
  auto* header = reinterpret_cast<nlmsghdr*>(request.data());
  if (!mnl_nlmsg_ok(header, left)) return Failure{name, EINVAL, "not a netlink message"};
  if (together) return ExchangeOne(socket, name, header, request.size(), buffer, answer);
  while (mnl_nlmsg_ok(header, left)) {
    int rest = left;
    nlmsghdr* next = mnl_nlmsg_next(header, &rest);
    Failure failure = ExchangeOne(socket, name, header, header->nlmsg_len, buffer, answer);
    if (!failure.syscall.empty()) return failure;
    header = next;
    left = rest;
  }
  return Failure{};
}

// Strict: dumps heed what the request asks for (rtm_table, rtm_type), and refuse a header that is
// not right.
Failure Open(Socket& socket, int protocol, bool strict) {
  socket.handle = mnl_socket_open2(protocol, SOCK_CLOEXEC);
  if (socket.handle == nullptr) return Failure{"socket", errno, ""};
  if (mnl_socket_bind(socket.handle, 0, MNL_SOCKET_AUTOPID) < 0) return Failure{"bind", errno, ""};
  int on = 1;
  // Niceties of newer kernels; without them errors carry no text.
  mnl_socket_setsockopt(socket.handle, NETLINK_EXT_ACK, &on, sizeof(on));
  mnl_socket_setsockopt(socket.handle, NETLINK_CAP_ACK, &on, sizeof(on));
  if (strict && mnl_socket_setsockopt(socket.handle, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0)
    return Failure{"setsockopt(NETLINK_GET_STRICT_CHK)", errno, ""};
  return Failure{};
}

void OnReadable(uv_poll_t* poll, int status, int) {
  auto* listener = static_cast<Listener*>(poll->data);
  Napi::Env env(listener->env);
  Napi::HandleScope scope(env);
  // Lost messages are EPOLLERR to libuv, which gives up a handle that has it.
  if (status < 0) uv_poll_start(poll, UV_READABLE, OnReadable);
  std::vector<uint8_t> buffer(kReceiveSize);
  while (!listener->callback.IsEmpty()) {
    ssize_t length = recv(listener->fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == EAGAIN) return;
    if (length < 0 && errno != ENOBUFS) {
      uv_poll_stop(poll);
      return;
    }
    Napi::Value argument = env.Null();
    if (length > 0) argument = Napi::Buffer<uint8_t>::Copy(env, buffer.data(), length);
    try {
      listener->callback.MakeCallback(env.Global(), {argument});
    } catch (const Napi::Error& e) {
      // As Node treats what an event listener throws; libuv above us knows no exceptions.
      napi_fatal_exception(env, e.Value());
    }
  }
}

}  // namespace

Napi::Value NetOpen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int protocol = info[0].As<Napi::Number>().Int32Value();
  bool own = !info[1].IsString();
  std::string path = own ? "" : info[1].As<Napi::String>().Utf8Value();
  bool strict = info[2].IsBoolean() && info[2].As<Napi::Boolean>().Value();
  auto socket = std::make_shared<Socket>();
  return NetWorker(env).Run(
      env,
      [socket, protocol, own, path, strict]() {
        auto open = [&] { return Open(*socket, protocol, strict); };
        return own ? open() : InNamespace(path, open);
      },
      [socket](Napi::Env e) -> Napi::Value {
        return Napi::External<SocketBox>::New(e, new SocketBox{socket},
                                              [](Napi::Env, SocketBox* box) {
                                                if (box->socket) StopListening(*box->socket);
                                                delete box;
                                              });
      });
}

namespace {

Napi::Value Request(const Napi::CallbackInfo& info, bool together) {
  Napi::Env env = info.Env();
  auto socket = BoxOf(info)->socket;
  std::string name = info[1].As<Napi::String>().Utf8Value();
  auto buffer = info[2].As<Napi::Buffer<uint8_t>>();
  Message request(buffer.Data(), buffer.Data() + buffer.Length());
  auto answer = std::make_shared<std::vector<Message>>();
  return NetWorker(env).Run(
      env, [=]() { return Exchange(*socket, name, request, together, *answer); },
      [answer](Napi::Env e) -> Napi::Value {
        Napi::Array messages = Napi::Array::New(e, answer->size());
        for (size_t i = 0; i < answer->size(); i++)
          messages.Set(i, Napi::Buffer<uint8_t>::Copy(e, (*answer)[i].data(), (*answer)[i].size()));
        return messages;
      });
}

}  // namespace

Napi::Value NetRequest(const Napi::CallbackInfo& info) { return Request(info, false); }

Napi::Value NetBatch(const Napi::CallbackInfo& info) { return Request(info, true); }

Napi::Value NetListen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto socket = BoxOf(info)->socket;
  auto groups = info[1].As<Napi::Array>();
  if (socket->listener != nullptr) throw MakeNativeError(env, "netListen", EALREADY, "");
  for (uint32_t i = 0; i < groups.Length(); i++) {
    int group = groups.Get(i).As<Napi::Number>().Int32Value();
    if (mnl_socket_setsockopt(socket->handle, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
      throw MakeNativeError(env, "setsockopt(NETLINK_ADD_MEMBERSHIP)", errno);
  }
  // A burst of 100 containers must not overrun; the kernel caps it at rmem_max unless forced.
  int size = 4 << 20;
  setsockopt(mnl_socket_get_fd(socket->handle), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  auto* listener = new Listener{};
  listener->callback = Napi::Persistent(info[2].As<Napi::Function>());
  listener->env = env;
  listener->fd = mnl_socket_get_fd(socket->handle);
  listener->poll.data = listener;
  uv_poll_init(loop, &listener->poll, listener->fd);
  uv_poll_start(&listener->poll, UV_READABLE, OnReadable);
  socket->listener = listener;
  return env.Undefined();
}

Napi::Value NetClose(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsExternal())
    throw Napi::TypeError::New(info.Env(), "not a netlink socket");
  SocketBox* box = info[0].As<Napi::External<SocketBox>>().Data();
  if (box->socket) StopListening(*box->socket);
  box->socket.reset();
  return info.Env().Undefined();
}

}  // namespace sluice
