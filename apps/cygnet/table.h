// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Aligned columns for people, made from the items of a JSON list; and how one value reads. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/time.h"
#include "cygnet/rt/json.h"

namespace cygnet::cli {

struct Style {
  bool colour = false;
  ServerTime now{};
};

/// What people read instead of the JSON value; the key's ending tells the unit (docs/api.md,
/// "Conventions"). Control characters are shown, never sent to the terminal.
[[nodiscard]] std::string value_text(std::string_view key, const rt::Json& value,
                                     const Style& style);
/// Text without control characters.
[[nodiscard]] std::string printable(std::string_view text);

struct Column {
  std::string heading;
  std::string key;    ///< "peers.up" goes into nested objects
  bool wide = false;  ///< only with -o wide
};

/// A heading line and one line an item; `empty` when there are none.
[[nodiscard]] std::string render_table(const std::vector<Column>& columns, const rt::Json& items,
                                       bool wide, const Style& style, std::string_view empty);

/// "key   value" lines; nested objects indented.
[[nodiscard]] std::string render_details(const rt::Json& object, const Style& style);

/// The value at a dotted path; null when there is none.
[[nodiscard]] const rt::Json& at_path(const rt::Json& object, std::string_view path);

/// A count; 0 for what is none.
[[nodiscard]] std::uint64_t number(const rt::Json& value);

/// Colours a word by what it means for the reader: good, waiting, bad.
[[nodiscard]] std::string coloured(std::string_view word, const Style& style);
[[nodiscard]] std::string bold(std::string_view text, const Style& style);

}  // namespace cygnet::cli
