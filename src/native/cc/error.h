// SPDX-License-Identifier: Apache-2.0
// The one shape of error that leaves the addon; NativeError in src/base/errors.ts.
#pragma once

#include <napi.h>

#include <cstring>
#include <string>

namespace sluice {

// `err` is a positive errno; `log` the verifier's, libbpf's or the kernel's text.
inline Napi::Error MakeNativeError(Napi::Env env, const char* syscall, int err,
                                   const std::string& log = "") {
  const char* name = strerrorname_np(err);
  std::string code = name != nullptr ? name : "E" + std::to_string(err);
  std::string message = std::string(syscall) + ": " + strerror(err);
  if (!log.empty()) message += ": " + log;
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("kind", "native");
  error.Set("code", code);
  error.Set("errno", Napi::Number::New(env, err));
  error.Set("syscall", syscall);
  error.Set("log", log);
  return error;
}

}  // namespace sluice
