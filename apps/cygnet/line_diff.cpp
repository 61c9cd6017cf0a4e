// SPDX-License-Identifier: Apache-2.0
#include "line_diff.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cygnet::cli {
namespace {

constexpr std::size_t kAround = 3;
/// Above this many comparisons the changed region is shown as one replacement.
constexpr std::size_t kCellsMax = 25'000'000;

struct Line {
  char mark;  ///< ' ', '-', '+'
  std::string_view text;
};

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

using View = std::vector<std::string_view>;

/// Longest common subsequence of the two regions.
void align(const View& a, std::size_t a_end, const View& b, std::size_t b_end, std::size_t begin,
           std::vector<Line>& out) {
  const std::size_t n = a_end - begin;
  const std::size_t m = b_end - begin;
  if (n * m > kCellsMax) {
    for (std::size_t i = begin; i < a_end; ++i) out.push_back({'-', a[i]});
    for (std::size_t j = begin; j < b_end; ++j) out.push_back({'+', b[j]});
    return;
  }
  std::vector<std::uint32_t> best((n + 1) * (m + 1), 0);
  const auto at = [&](std::size_t i, std::size_t j) -> std::uint32_t& {
    return best[i * (m + 1) + j];
  };
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t j = m; j-- > 0;) {
      at(i, j) = a[begin + i] == b[begin + j] ? at(i + 1, j + 1) + 1
                                              : std::max(at(i + 1, j), at(i, j + 1));
    }
  }
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < n || j < m) {
    if (i < n && j < m && a[begin + i] == b[begin + j]) {
      out.push_back({' ', a[begin + i++]});
      ++j;
    } else if (i < n && (j == m || at(i + 1, j) >= at(i, j + 1))) {
      out.push_back({'-', a[begin + i++]});
    } else {
      out.push_back({'+', b[begin + j++]});
    }
  }
}

std::string hunk_range(std::size_t start, std::size_t count) {
  return std::to_string(count == 0 ? start : start + 1) + "," + std::to_string(count);
}

}  // namespace

std::string line_diff(std::string_view before, std::string_view after,
                      const std::string& before_name, const std::string& after_name) {
  const View a = lines_of(before);
  const View b = lines_of(after);
  if (a == b) return {};
  std::size_t begin = 0;
  while (begin < a.size() && begin < b.size() && a[begin] == b[begin]) ++begin;
  std::size_t tail = 0;
  while (tail < a.size() - begin && tail < b.size() - begin &&
         a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) {
    ++tail;
  }
  std::vector<Line> all;
  for (std::size_t i = 0; i < begin; ++i) all.push_back({' ', a[i]});
  align(a, a.size() - tail, b, b.size() - tail, begin, all);
  for (std::size_t i = a.size() - tail; i < a.size(); ++i) all.push_back({' ', a[i]});

  std::string out = "--- " + before_name + "\n+++ " + after_name + "\n";
  std::size_t a_line = 0;
  std::size_t b_line = 0;
  std::size_t at = 0;
  while (at < all.size()) {
    std::size_t next = at;
    while (next < all.size() && all[next].mark == ' ') ++next;
    if (next == all.size()) break;
    const std::size_t start = next - std::min(next - at, kAround);
    a_line += start - at;
    b_line += start - at;
    // A hunk ends where more than twice the surrounding lines are unchanged.
    std::size_t last_change = next;
    std::size_t end = next;
    while (end < all.size() && end - last_change <= 2 * kAround) {
      if (all[end].mark != ' ') last_change = end;
      ++end;
    }
    end = std::min(all.size(), last_change + kAround + 1);
    std::size_t a_count = 0;
    std::size_t b_count = 0;
    std::string body;
    for (std::size_t i = start; i < end; ++i) {
      if (all[i].mark != '+') ++a_count;
      if (all[i].mark != '-') ++b_count;
      body += all[i].mark + std::string(all[i].text) + "\n";
    }
    out +=
        "@@ -" + hunk_range(a_line, a_count) + " +" + hunk_range(b_line, b_count) + " @@\n" + body;
    a_line += a_count;
    b_line += b_count;
    at = end;
  }
  return out;
}

}  // namespace cygnet::cli
