// SPDX-License-Identifier: Apache-2.0
// Reading JS arguments. src/native/bpf.ts has checked them; what it could not
// know (a buffer's length against a map's sizes) is checked where it is used.
#pragma once

#include <napi.h>

#include <string>

namespace sluice {

inline int Int(const Napi::CallbackInfo& info, size_t i) {
  if (!info[i].IsNumber()) throw Napi::TypeError::New(info.Env(), "expected a number");
  return info[i].As<Napi::Number>().Int32Value();
}

inline uint32_t Uint(const Napi::CallbackInfo& info, size_t i) {
  if (!info[i].IsNumber()) throw Napi::TypeError::New(info.Env(), "expected a number");
  return info[i].As<Napi::Number>().Uint32Value();
}

inline std::string Str(const Napi::CallbackInfo& info, size_t i) {
  if (!info[i].IsString()) throw Napi::TypeError::New(info.Env(), "expected a string");
  return info[i].As<Napi::String>().Utf8Value();
}

inline Napi::Buffer<uint8_t> Bytes(const Napi::CallbackInfo& info, size_t i) {
  if (!info[i].IsBuffer()) throw Napi::TypeError::New(info.Env(), "expected a Buffer");
  return info[i].As<Napi::Buffer<uint8_t>>();
}

// null and undefined are no bytes.
inline uint8_t* OptionalBytes(const Napi::CallbackInfo& info, size_t i, size_t* length = nullptr) {
  if (info[i].IsNull() || info[i].IsUndefined()) {
    if (length != nullptr) *length = 0;
    return nullptr;
  }
  auto buffer = Bytes(info, i);
  if (length != nullptr) *length = buffer.Length();
  return buffer.Data();
}

}  // namespace sluice
