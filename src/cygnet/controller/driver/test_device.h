// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A device as tests need it: real TLS, real keys, real signed DIMs, on the test's own loop. It
/// remembers everything it was told and decides nothing. Loop thread only.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/controller/core/values.h"
#include "cygnet/crypto/identity.h"
#include "cygnet/device/v1/device.pb.h"
#include "cygnet/proto/dim/dim.h"
#include "cygnet/rt/framed_stream.h"

namespace cygnet::controller::test {

namespace pb = cygnet::device::v1;

inline constexpr Duration kPatience = std::chrono::seconds(20);

/// What a device holds about a peer, as Update by Update built it.
struct HeardPeer {
  std::uint64_t counter = 0;
  Bytes dim;
  bool removed = false;
  int dims_heard = 0;
  pb::PeerChange last;
};

class TestDevice {
 public:
  TestDevice(rt::Loop& loop, std::uint16_t port, std::string name, std::string mesh = "corp");
  ~TestDevice();

  // ---- Joining.
  [[nodiscard]] pb::EnrolReply join(const std::string& token, const crypto::Sha256& ca_fingerprint,
                                    std::optional<std::string> as_name = {});
  /// Takes an identity that was made elsewhere (wrong CA, expired, …).
  void adopt(rt::TlsIdentity identity, std::vector<crypto::Certificate> trust,
             const crypto::MeshId& mesh_id);
  void set_port(std::uint16_t port) { port_ = port; }

  // ---- The stream.
  /// Connects and says Hello; false when it could not (see `error`).
  bool attach(std::optional<pb::Cursor> resume = {});
  /// Connects without a Hello.
  bool connect();
  void hello(std::optional<pb::Cursor> resume, std::uint32_t version_min = 1,
             std::uint32_t version_max = 1);
  void drop();  ///< closes without a word
  void send(const pb::FromDevice& message);
  void send_raw(Bytes octets);
  void acknowledge(std::vector<std::pair<std::string, std::uint64_t>> pending = {});

  // ---- DIMs.
  [[nodiscard]] proto::Dim make_dim(proto::RekeyCounter counter, bool initial_contact = false);
  [[nodiscard]] Bytes sign(proto::Dim& dim) const;
  void publish(ByteView octets);
  /// Makes, signs and publishes; waits for the result.
  [[nodiscard]] pb::PublishResult publish(std::uint32_t boot, std::uint32_t sequence);
  [[nodiscard]] pb::PublishResult await_result();

  template <class Predicate>
  [[nodiscard]] bool wait(Predicate done) {
    return loop_.run_until(done, kPatience);
  }
  /// Sends a message whose answer proves that everything before has been handled.
  void settle();

  // ---- What was heard.
  std::string name;
  std::string full_name;
  std::optional<pb::Welcome> welcome;
  std::map<std::string, HeardPeer> peers;
  std::vector<pb::Update> updates;
  std::vector<pb::PublishResult> results;
  std::vector<pb::PublishStatus> statuses;
  std::vector<pb::Command> commands;
  std::vector<pb::CertificateRenewed> renewals;
  std::optional<pb::Goaway> goaway;
  std::optional<Error> closed;
  std::optional<Error> error;
  std::optional<pb::Cursor> cursor;
  std::optional<crypto::IdentityKey> key;
  std::optional<crypto::Certificate> certificate;
  std::vector<crypto::Certificate> trust;
  crypto::MeshId mesh_id{};
  std::vector<std::pair<std::string, int>> order;  ///< kinds of messages, as they came
  bool auto_ack = true;
  rt::StreamPtr stream;

 private:
  void heard(const Bytes& octets);

  rt::Loop& loop_;
  std::uint16_t port_;
  std::unique_ptr<rt::PendingConnect> connecting_;
  std::size_t results_taken_ = 0;
};

}  // namespace cygnet::controller::test
