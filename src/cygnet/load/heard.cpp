// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/heard.h"

namespace cygnet::load {
namespace {

constexpr unsigned kUpdateField = 2;  // of FromController
constexpr unsigned kTypeVarint = 0;
constexpr unsigned kTypeOctets = 2;
constexpr std::uint16_t kNotifyRekeyCounter = 41001;

struct Field {
  unsigned number = 0;
  unsigned type = 0;
  std::uint64_t value = 0;  ///< of a varint
  ByteView octets;
};

std::optional<std::uint64_t> take_varint(ByteView& rest) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const std::uint8_t octet = rest.front();
    rest = rest.subspan(1);
    value |= std::uint64_t{octet & 0x7fU} << shift;
    if ((octet & 0x80) == 0) return value;
  }
  return std::nullopt;
}

/// nullopt where the octets are no field; call only when there are some.
std::optional<Field> take_field(ByteView& rest) {
  const auto tag = take_varint(rest);
  if (!tag) return std::nullopt;
  Field field;
  field.number = static_cast<unsigned>(*tag >> 3);
  field.type = static_cast<unsigned>(*tag & 7);
  const auto value = take_varint(rest);
  if (!value || (field.type != kTypeVarint && field.type != kTypeOctets)) return std::nullopt;
  field.value = *value;
  if (field.type == kTypeOctets) {
    if (*value > rest.size()) return std::nullopt;
    field.octets = rest.first(static_cast<std::size_t>(*value));
    rest = rest.subspan(static_cast<std::size_t>(*value));
  }
  return field;
}

std::optional<HeardChange> read_change(ByteView octets) {
  HeardChange change;
  while (!octets.empty()) {
    const auto field = take_field(octets);
    if (!field) return std::nullopt;
    if (field->number == 1) change.device = as_text(field->octets);
    if (field->number == 2) change.removed = field->value != 0;
    if (field->number == 3) {
      ByteView stored = field->octets;
      while (!stored.empty()) {
        const auto part = take_field(stored);
        if (!part) return std::nullopt;
        if (part->number == 1) change.dim = part->octets;
      }
    }
  }
  return change;
}

}  // namespace

bool HeardUpdate::is_update(ByteView message) {
  return !message.empty() && message[0] == ((kUpdateField << 3) | kTypeOctets);
}

HeardUpdate::HeardUpdate(ByteView message) {
  const auto field = take_field(message);
  broken_ = !field || !message.empty();
  if (!broken_) rest_ = field->octets;
}

std::optional<HeardChange> HeardUpdate::next() {
  while (!rest_.empty() && !broken_) {
    const auto field = take_field(rest_);
    if (!field) {
      broken_ = true;
      break;
    }
    if (field->number == 1) {
      auto change = read_change(field->octets);
      broken_ = !change;
      return change;
    }
    if (field->number == 2) {
      ByteView cursor = field->octets;
      while (!cursor.empty()) {
        const auto part = take_field(cursor);
        if (!part) {
          broken_ = true;
          break;
        }
        if (part->number == 1) epoch_ = part->octets;
        if (part->number == 2) position_ = part->value;
      }
    }
    if (field->number == 4) snapshot_end_ = field->value != 0;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> counter_of_dim(ByteView dim) {
  if (dim.size() < 4) return std::nullopt;
  const std::size_t at = load_be16(dim.data() + 2);  // IDi's length
  if (dim.size() < at + 16 || load_be16(dim.data() + at + 6) != kNotifyRekeyCounter) {
    return std::nullopt;
  }
  return load_be64(dim.data() + at + 8);
}

}  // namespace cygnet::load
