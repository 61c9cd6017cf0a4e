// SPDX-License-Identifier: Apache-2.0
#pragma once

/// UniqueFunction<R(Args...)>: a std::function that may hold what cannot be copied (a job that owns
/// a SecretBytes, a Responder). std::move_only_function is C++23. Move-only value type.

#include <memory>
#include <type_traits>
#include <utility>

namespace cygnet::rt {

template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() = default;
  UniqueFunction(std::nullptr_t) {}  // NOLINT(google-explicit-constructor)
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, UniqueFunction> &&
                                              std::is_invocable_r_v<R, std::decay_t<F>&, Args...>>>
  UniqueFunction(F&& f)  // NOLINT: implicit by purpose, and constrained above
      : call_(std::make_unique<Holder<std::decay_t<F>>>(std::forward<F>(f))) {}

  explicit operator bool() const { return call_ != nullptr; }
  R operator()(Args... args) { return call_->call(std::forward<Args>(args)...); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual R call(Args... args) = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F f) : function(std::move(f)) {}
    R call(Args... args) override { return function(std::forward<Args>(args)...); }
    F function;
  };
  std::unique_ptr<Base> call_;
};

}  // namespace cygnet::rt
