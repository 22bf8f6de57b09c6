// SPDX-License-Identifier: Apache-2.0
// A thread with a queue, for calls that wait for the kernel.
//
// Netlink requests and BPF attachments wait for the RTNL mutex, often 10 ms
// and more, and would block the four threads of libuv's pool; RTNL lets one in
// at a time anyway. So each of the two kinds has one thread. Namespaces are
// entered on that of netlink and nowhere else, so that no thread that serves
// other work is ever left in a foreign one.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace sluice {

// The outcome of a job, before it becomes a JS value.
struct Failure {
  std::string syscall;  // empty: none
  int error = 0;        // positive errno
  std::string log;
};

class Worker {
 public:
  explicit Worker(Napi::Env env);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Runs `execute` on the thread, then `complete` on the JS thread with the
  // promise's value, or rejects with a NativeError if execute failed.
  Napi::Promise Run(Napi::Env env, std::function<Failure()> execute,
                    std::function<Napi::Value(Napi::Env)> complete);

 private:
  struct Job;
  void Loop();
  // Waits for the job that runs; those behind it are dropped.
  void Stop();

  Napi::ThreadSafeFunction done_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> queue_;
  bool stopping_ = false;
  size_t waiting_ = 0;  // JS thread only: promises not settled
  std::thread thread_;
};

// Those of this environment (a worker thread of Node's has its own).
Worker& NetWorker(Napi::Env env);
Worker& BpfWorker(Napi::Env env);

}  // namespace sluice
