// SPDX-License-Identifier: Apache-2.0
#pragma once

/// StateSink: receives a machine's state field by field. What a field means to the reader of the
/// state (a number, a point in time, a generation's name) is kept, so that an explorer can bring
/// states into a canonical form: times relative to now, generations by rank.

#include <cstdint>
#include <optional>

#include "cygnet/base/time.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::proto::rekey {

class StateSink {
 public:
  virtual ~StateSink() = default;
  virtual void number(std::uint64_t value) = 0;
  virtual void time(std::optional<Timestamp> value) = 0;
  // Points in time that matter for some lifetimes only.
  virtual void acceptance(std::optional<Timestamp> value) { time(value); }
  virtual void delivery(std::optional<Timestamp> value) { time(value); }
  virtual void last_user(Timestamp value) { time(value); }
  virtual void peer(PeerId id) { number(id.value()); }      ///< whose state, and remote(), follows
  virtual void own(std::optional<RekeyCounter> value) = 0;  ///< one of our generations
  virtual void remote(std::optional<RekeyCounter> value) = 0;  ///< one of the peer's
};

}  // namespace cygnet::proto::rekey
