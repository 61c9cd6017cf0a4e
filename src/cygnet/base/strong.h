// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Strong<Tag, T>: an integer or string that cannot be confused with another of the same
/// representation. Pure; value type, totally ordered, hashable.

#include <compare>
#include <cstddef>
#include <functional>
#include <utility>

namespace cygnet {

template <class Tag, class T>
class Strong {
 public:
  constexpr Strong() = default;
  constexpr explicit Strong(T value) : value_(std::move(value)) {}
  [[nodiscard]] constexpr const T& value() const { return value_; }
  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;
  friend constexpr bool operator==(const Strong&, const Strong&) = default;

 private:
  T value_{};
};

}  // namespace cygnet

template <class Tag, class T>
struct std::hash<cygnet::Strong<Tag, T>> {
  std::size_t operator()(const cygnet::Strong<Tag, T>& id) const noexcept {
    return std::hash<T>{}(id.value());
  }
};
