// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/values.h"

#include <array>
#include <charconv>
#include <limits>

namespace cygnet::controller::policy {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t ms;
};
constexpr std::array<Unit, 5> kUnits{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::uint64_t kDurationMax = 100ULL * 365 * 86'400'000;

/// Takes leading digits off `text`.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  if (error != std::errc{} || end == text.begin()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
  return value;
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  std::uint64_t total = 0;
  std::size_t next_unit = 0;  // units only get smaller
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const auto number = take_number(text);
    if (!number) return std::nullopt;
    std::size_t letters = 0;
    while (letters < text.size() && text[letters] >= 'a' && text[letters] <= 'z') ++letters;
    const std::string_view name = text.substr(0, letters);
    while (next_unit < kUnits.size() && kUnits[next_unit].name != name) ++next_unit;
    if (next_unit == kUnits.size() || *number > kDurationMax / kUnits[next_unit].ms) {
      return std::nullopt;
    }
    total += *number * kUnits[next_unit].ms;
    if (total > kDurationMax) return std::nullopt;
    ++next_unit;
    text.remove_prefix(letters);
  }
  return std::chrono::milliseconds(total);
}

std::string format_duration(std::chrono::milliseconds duration) {
  auto rest = static_cast<std::uint64_t>(duration.count());
  if (rest == 0) return "0s";
  std::string out;
  for (const Unit& unit : kUnits) {
    if (rest < unit.ms) continue;
    out += std::to_string(rest / unit.ms) + std::string(unit.name);
    rest %= unit.ms;
  }
  return out;
}

std::optional<std::uint32_t> parse_percent(std::string_view text) {
  if (!text.ends_with('%')) return std::nullopt;
  text.remove_suffix(1);
  const auto whole = take_number(text);
  if (!whole || *whole > 100) return std::nullopt;
  std::uint64_t tenths = 0;
  if (!text.empty()) {
    if (text.size() != 2 || text[0] != '.' || text[1] < '0' || text[1] > '9') return std::nullopt;
    tenths = static_cast<std::uint64_t>(text[1] - '0');
  }
  return static_cast<std::uint32_t>(*whole * 10 + tenths);
}

std::string format_permille(std::uint32_t permille) {
  std::string out = std::to_string(permille / 10);
  if (permille % 10 != 0) out += "." + std::to_string(permille % 10);
  return out + "%";
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  const auto number = take_number(text);
  if (!number) return std::nullopt;
  std::uint64_t factor = 1;
  if (text == "k") {
    factor = 1'000;
  } else if (text == "M") {
    factor = 1'000'000;
  } else if (text == "G") {
    factor = 1'000'000'000;
  } else if (!text.empty()) {
    return std::nullopt;
  }
  if (*number > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
  return *number * factor;
}

}  // namespace cygnet::controller::policy
