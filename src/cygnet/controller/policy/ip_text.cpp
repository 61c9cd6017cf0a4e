// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/ip_text.h"

#include <charconv>

namespace cygnet::controller::policy {
namespace {

using Address = std::array<std::uint8_t, 16>;

/// Four dotted octets into `out` at `at`.
bool parse_dotted(std::string_view text, Address& out, std::size_t at) {
  for (std::size_t part = 0; part < 4; ++part) {
    const std::size_t dot = part < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return false;
    const std::string_view digits = text.substr(0, dot);
    if (digits.empty() || digits.size() > 3 || (digits.size() > 1 && digits[0] == '0'))
      return false;
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value);
    if (error != std::errc{} || end != digits.end() || value > 255) return false;
    out[at + part] = static_cast<std::uint8_t>(value);
    text.remove_prefix(part < 3 ? dot + 1 : dot);
  }
  return true;
}

}  // namespace

std::optional<Address> parse_ipv4(std::string_view text) {
  Address out{};
  if (!parse_dotted(text, out, 0)) return std::nullopt;
  return out;
}

std::optional<Address> parse_ipv6(std::string_view text) {
  Address out{};
  std::size_t filled = 0;  // octets written so far
  std::optional<std::size_t> gap;
  if (text.starts_with("::")) {
    gap = 0;
    text.remove_prefix(2);
  }
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    if (colon == std::string_view::npos && group.find('.') != std::string_view::npos) {
      if (filled + 4 > 16 || !parse_dotted(group, out, filled)) return std::nullopt;
      filled += 4;
      break;
    }
    unsigned value = 0;
    const auto [end, error] = std::from_chars(group.begin(), group.end(), value, 16);
    if (group.empty() || group.size() > 4 || error != std::errc{} || end != group.end() ||
        filled + 2 > 16) {
      return std::nullopt;
    }
    out[filled++] = static_cast<std::uint8_t>(value >> 8);
    out[filled++] = static_cast<std::uint8_t>(value);
    if (colon == std::string_view::npos) break;
    text.remove_prefix(colon + 1);
    if (text.starts_with(':')) {
      if (gap) return std::nullopt;
      gap = filled;
      text.remove_prefix(1);
    } else if (text.empty()) {
      return std::nullopt;  // a single colon at the end
    }
  }
  if (!gap) return filled == 16 ? std::optional(out) : std::nullopt;
  if (filled > 14) return std::nullopt;  // "::" stands for at least one group
  Address spread{};
  for (std::size_t i = 0; i < *gap; ++i) spread[i] = out[i];
  for (std::size_t i = *gap; i < filled; ++i) spread[16 - filled + i] = out[i];
  return spread;
}

std::string format_ipv4(const Address& address) {
  std::string out;
  for (std::size_t i = 0; i < 4; ++i) {
    if (i != 0) out += '.';
    out += std::to_string(address[i]);
  }
  return out;
}

}  // namespace cygnet::controller::policy
