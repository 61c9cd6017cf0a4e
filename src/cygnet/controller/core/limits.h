// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Every limit of the controller's core, named (docs/controller.md, "Limits"). Pure.

#include <cstdint>

#include "cygnet/base/time.h"
#include "cygnet/controller/core/marks.h"

namespace cygnet::controller {

struct Limits {
  std::uint32_t messages_per_minute = 6000;  ///< of one session, of any kind
  std::uint32_t publishes_per_minute = 120;  ///< of one device
  std::uint32_t reports_per_minute = 600;
  std::uint32_t bad_spi_per_minute = 60;
  std::uint32_t wants_per_minute = 6000;  ///< a gateway may wake all its on-demand pairs at once
  std::uint32_t renewals_per_minute = 6;
  std::uint32_t joins_per_minute = 6000;     ///< of everyone together: a join costs signatures
  std::size_t direct_messages_max = 256;     ///< waiting for one session, updates apart
  std::size_t endpoints_max = 16;            ///< that one device may name
  std::size_t acknowledged_names_max = 500;  ///< in one PublishStatus
  std::size_t csr_queue_max = 10000;         ///< requests waiting for an external CA
  std::size_t report_codes_max = 100;        ///< of refusals, counted by name; the rest is "other"
  std::size_t generations_kept = 3;          ///< DIMs of a device known for mapping SPIs
  MarkLimits marks;
  /// "at most once a minute" (protocol section 6, Bad SPI), for one pair.
  Duration missing_newest_interval = std::chrono::minutes(1);
  std::chrono::milliseconds certificate_lifetime = std::chrono::hours(24 * 30);
  /// A device whose certificate ended less than this ago may attach to renew it, and no more.
  std::chrono::milliseconds renewal_grace = std::chrono::hours(24 * 30);
  /// Certificates start this long before they are issued: devices' clocks run behind.
  std::chrono::milliseconds certificate_backdate = std::chrono::minutes(5);
  std::uint32_t external_ca_retry_ms = 5000;
  /// How often tombstones and tokens that are past their time are looked for.
  Duration sweep_interval = std::chrono::hours(1);
  /// Tokens are listed this long after they expired.
  std::chrono::milliseconds token_kept = std::chrono::hours(24 * 30);
};

}  // namespace cygnet::controller
