// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Messages of the controller as encoded FromController octets (device.proto), so that no header
/// but this directory's sources needs the generated code. Pure.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/error.h"
#include "cygnet/controller/core/values.h"
#include "cygnet/controller/core/wire_encode.h"
#include "cygnet/controller/policy/document.h"
#include "cygnet/controller/store/records.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::controller {

struct WelcomeFields {
  std::uint32_t version = 1;
  crypto::MeshId mesh_id{};
  std::string mesh_name;
  ServerTime server_time;
  const RelayedDim* own_dim = nullptr;
  SharedOctets revocations;  ///< encoded Revocations
  SharedOctets settings;     ///< encoded MeshSettings
  std::vector<Bytes> trust;
  std::uint16_t udp_port = 0;
  Cookie cookie{};
  bool resumed = false;
};
[[nodiscard]] Bytes encode_welcome(const WelcomeFields& fields);

[[nodiscard]] Bytes encode_accepted(proto::RekeyCounter counter, ServerTime accepted_at);
/// `newer`: refused as stale, what the controller holds. May be null.
[[nodiscard]] Bytes encode_refused(std::uint64_t counter, const Error& error,
                                   const RelayedDim* newer);
[[nodiscard]] Bytes encode_status(proto::RekeyCounter counter,
                                  std::span<const std::string> acknowledged,
                                  std::uint32_t attached_missing, std::uint32_t unattached_missing);
[[nodiscard]] Bytes encode_rekey(std::string_view reason);
[[nodiscard]] Bytes encode_missing_newest(std::string_view peer);
[[nodiscard]] Bytes encode_goaway(std::string_view reason, std::uint32_t reconnect_after_ms);
/// "<code>: <message>; <cure>", as a Goaway tells it.
[[nodiscard]] std::string goaway_reason(const Error& error);
[[nodiscard]] Bytes encode_renewed(ByteView certificate, const std::vector<Bytes>& trust);
[[nodiscard]] Bytes encode_not_renewed(const Error& error);

/// MeshSettings without own_prefixes; those of a device are appended by encode_own_prefixes.
[[nodiscard]] Bytes encode_settings(const policy::Document& document, std::uint64_t version);
void append_own_prefixes(Bytes& settings, const std::vector<policy::PrefixSpec>& prefixes);
[[nodiscard]] Bytes encode_revocations(std::uint64_t number,
                                       const std::vector<store::RevocationRecord>& revocations);

struct EnrolRequestFields {
  std::string token;
  std::string device_name;
  Bytes csr;
  std::uint32_t version_min = 0;
  std::uint32_t version_max = 0;
};
[[nodiscard]] std::optional<EnrolRequestFields> decode_enrol_request(ByteView octets);
struct EnrolReplyFields {
  enum class Outcome : std::uint8_t { kIssued, kQueued, kRefused };
  Outcome outcome = Outcome::kRefused;
  Bytes certificate;
  std::vector<Bytes> trust;
  crypto::MeshId mesh_id{};
  std::string mesh_name;
  std::optional<Error> refusal;
  std::uint32_t retry_after_ms = 0;
  ServerTime server_time;
};
[[nodiscard]] Bytes encode_enrol_reply(const EnrolReplyFields& fields);

}  // namespace cygnet::controller
