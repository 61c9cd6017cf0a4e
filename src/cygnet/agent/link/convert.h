// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Between the messages of device.proto and the core's values. What comes from the controller is
/// checked here (names, lengths, ranges), so that the core never sees a value it could not store;
/// a message that breaks the form is refused whole, by field. Pure.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cygnet/agent/core/messages.h"
#include "cygnet/agent/link/discovery.h"
#include "cygnet/base/result.h"
#include "cygnet/crypto/identity.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrMessage{"controller-message"};

/// What this program speaks.
inline constexpr std::uint32_t kStreamVersionMin = 1;
inline constexpr std::uint32_t kStreamVersionMax = 1;

struct DiscoverySettings {
  std::uint16_t udp_port = 0;
  DiscoveryCookie cookie{};
};
/// Welcome with what only the link needs.
struct WelcomeMessage {
  Welcome welcome;
  crypto::MeshId mesh{};
  std::string mesh_name;
  std::vector<Bytes> trust;
  std::optional<DiscoverySettings> discovery;
};
struct RekeyCommand {
  std::string reason;
};
struct MissingNewestCommand {
  proto::DeviceName peer;
};
struct GoawayMessage {
  std::string reason;
  Duration reconnect_after{};
};
struct RenewedMessage {
  Bytes certificate;
  std::vector<Bytes> trust;
  std::optional<Error> refusal;
};
/// A message of a kind this version does not know: ignored, as unknown fields are.
struct UnknownMessage {};
using ControllerMessage =
    std::variant<WelcomeMessage, Update, PublishResult, PublishStatus, RekeyCommand,
                 MissingNewestCommand, GoawayMessage, RenewedMessage, UnknownMessage>;

/// @retval kErrMessage
[[nodiscard]] Result<ControllerMessage> decode_controller_message(ByteView octets);

struct HelloMessage {
  std::vector<std::string> capabilities;
  std::optional<Cursor> resume;
  std::uint64_t revocation_number = 0;
  std::vector<UdpEndpoint> endpoints;
  std::string software;
  std::vector<proto::DeviceName> held;  ///< on-demand peers whose DIM the device holds
};
struct AckMessage {
  Cursor cursor;
  struct Pending {
    proto::DeviceName device;
    proto::RekeyCounter counter;
  };
  std::vector<Pending> pending;
};
[[nodiscard]] Bytes encode_hello(const HelloMessage& hello);
[[nodiscard]] Bytes encode_publish(ByteView dim);
[[nodiscard]] Bytes encode_ack(const AckMessage& ack);
[[nodiscard]] Bytes encode_report(const Report& report);
[[nodiscard]] Bytes encode_want(const proto::DeviceName& device);
[[nodiscard]] Bytes encode_renewal(ByteView csr);

struct EnrolRequestMessage {
  std::string token;
  std::string device_name;  ///< first label only
  Bytes csr;
};
[[nodiscard]] Bytes encode_enrol_request(const EnrolRequestMessage& request);
struct EnrolIssued {
  Bytes certificate;
  std::vector<Bytes> trust;
  crypto::MeshId mesh{};
  std::string mesh_name;
  ServerTime server_time{};
};
struct EnrolQueued {
  Duration retry_after{};
};
struct EnrolRefused {
  Error error;
};
using EnrolReplyMessage = std::variant<EnrolIssued, EnrolQueued, EnrolRefused>;
/// @retval kErrMessage
[[nodiscard]] Result<EnrolReplyMessage> decode_enrol_reply(ByteView octets);

/// An Error from a refusal the controller sent; its code is interned, so that it can be compared.
[[nodiscard]] Error refusal_error(const std::string& code, const std::string& message,
                                  const std::string& cure);

}  // namespace cygnet::agent
