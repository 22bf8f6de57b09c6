// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include "error.h"

namespace sluice {

struct Worker::Job {
  Napi::Promise::Deferred deferred;
  std::function<Failure()> execute;
  std::function<Napi::Value(Napi::Env)> complete;
  Failure failure;
};

Worker::Worker(Napi::Env env)
    : done_(Napi::ThreadSafeFunction::New(
          env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "sluice-worker", 0, 1)) {
  done_.Unref(env);
  // Hooks run last one first: the thread is gone before the environment takes
  // done_ down, which it does whether or not it is in use.
  env.AddCleanupHook([this] { Stop(); });
  thread_ = std::thread([this] { Loop(); });
}

Worker::~Worker() { Stop(); }

void Worker::Stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  done_.Abort();
}

void Worker::Loop() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    job->failure = job->execute();
    auto settle = [this](Napi::Env env, Napi::Function, Job* raw) {
      std::unique_ptr<Job> owned(raw);
      if (static_cast<napi_env>(env) == nullptr) return;  // being torn down
      Napi::HandleScope scope(env);
      if (--waiting_ == 0) done_.Unref(env);
      const Failure& failure = owned->failure;
      try {
        if (!failure.syscall.empty()) {
          owned->deferred.Reject(
              MakeNativeError(env, failure.syscall.c_str(), failure.error, failure.log).Value());
        } else {
          owned->deferred.Resolve(owned->complete(env));
        }
      } catch (const Napi::Error&) {
        // The environment is being terminated: no script is left to hear of it.
      }
    };
    Job* raw = job.release();
    if (done_.NonBlockingCall(raw, settle) != napi_ok) delete raw;
  }
}

Napi::Promise Worker::Run(Napi::Env env, std::function<Failure()> execute,
                          std::function<Napi::Value(Napi::Env)> complete) {
  auto job = std::unique_ptr<Job>(new Job{Napi::Promise::Deferred::New(env), std::move(execute),
                                          std::move(complete), Failure{}});
  Napi::Promise promise = job->deferred.Promise();
  if (waiting_++ == 0) done_.Ref(env);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
  return promise;
}

}  // namespace sluice
