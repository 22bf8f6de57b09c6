// SPDX-License-Identifier: Apache-2.0
#include "bpf_ring.h"

#include <bpf/libbpf.h>
#include <uv.h>

#include <cerrno>

#include "bpf_args.h"
#include "error.h"

namespace sluice {
namespace {

// Lives until libuv has let go of its poll handle.
struct Ring {
  ring_buffer* buffer = nullptr;
  uv_poll_t poll{};
  napi_env env = nullptr;
  Napi::FunctionReference callback;
  ~Ring() { ring_buffer__free(buffer); }
};

struct RingBox {
  Ring* ring;
};

void Stop(RingBox* box) {
  if (box->ring == nullptr) return;
  Ring* ring = box->ring;
  box->ring = nullptr;
  ring->callback.Reset();
  uv_poll_stop(&ring->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&ring->poll),
           [](uv_handle_t* handle) { delete static_cast<Ring*>(handle->data); });
}

int OnRecord(void* context, void* data, size_t length) {
  auto* ring = static_cast<Ring*>(context);
  if (ring->callback.IsEmpty()) return -ECANCELED;
  Napi::Env env(ring->env);
  Napi::HandleScope scope(env);
  ring->callback.MakeCallback(
      env.Global(), {Napi::Buffer<uint8_t>::Copy(env, static_cast<uint8_t*>(data), length)});
  return 0;
}

}  // namespace

Napi::Value RingOpen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto* ring = new Ring;
  ring->env = env;
  ring->buffer = ring_buffer__new(Int(info, 0), OnRecord, ring, nullptr);
  if (ring->buffer == nullptr) {
    int err = errno;
    delete ring;
    throw MakeNativeError(env, "ring_buffer__new", err);
  }
  ring->callback = Napi::Persistent(info[1].As<Napi::Function>());
  ring->poll.data = ring;
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  uv_poll_init(loop, &ring->poll, ring_buffer__epoll_fd(ring->buffer));
  uv_poll_start(&ring->poll, UV_READABLE, [](uv_poll_t* poll, int, int) {
    auto* ready = static_cast<Ring*>(poll->data);
    ring_buffer__consume(ready->buffer);
  });
  return Napi::External<RingBox>::New(env, new RingBox{ring}, [](Napi::Env, RingBox* box) {
    Stop(box);
    delete box;
  });
}

Napi::Value RingClose(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "not a ring buffer");
  Stop(info[0].As<Napi::External<RingBox>>().Data());
  return info.Env().Undefined();
}

}  // namespace sluice
