// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the sources of World share: small sorted lists, and the letters of the figures.

#include <algorithm>
#include <string>
#include <vector>

namespace cygnet::explore {

template <class T>
bool contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}
template <class T>
bool take(std::vector<T>& values, const T& value) {
  const auto it = std::find(values.begin(), values.end(), value);
  if (it == values.end()) return false;
  values.erase(it);
  return true;
}
template <class T>
void put(std::vector<T>& values, const T& value) {
  const auto it = std::lower_bound(values.begin(), values.end(), value);
  if (it == values.end() || !(*it == value)) values.insert(it, value);
}

inline void tell(std::string* story, const std::string& line) {
  if (story != nullptr) *story += "    " + line + "\n";
}

inline std::string device_letter(std::size_t i) {
  return std::string(1, static_cast<char>('A' + i));
}
inline char generation_letter(std::size_t i) { return static_cast<char>('a' + i); }

}  // namespace cygnet::explore
