// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the core asks of its driver, in an order the driver keeps (docs/controller.md, "Order").
/// Pure; value types.

#include <string>
#include <variant>
#include <vector>

#include "cygnet/controller/core/values.h"
#include "cygnet/controller/store/write_batch.h"
#include "cygnet/crypto/identity.h"

namespace cygnet::controller {

/// Make a batch durable, then tell Core::persisted(). Batches are submitted in order and answered
/// in order.
struct Persist {
  Ticket ticket;
  store::WriteBatch batch;
};
/// Core::next_message() has something for this session.
struct Wake {
  SessionId session;
};
/// Write what next_message() still gives (a Goaway is the last), then close.
struct Close {
  SessionId session;
};
/// Sign with the mesh's CA, then tell Core::certificate_signed().
struct SignCertificate {
  RequestId request;
  crypto::CertificateSpec spec;
};
/// The answer to Core::enrol(): an encoded EnrolReply.
struct ReplyEnrol {
  RequestId request;
  Bytes reply;
};
/// The answer to an operator's request.
struct OperatorDone {
  RequestId request;
  Status status;
};
/// Something an operator may want to know; goes to the log and the events ring.
struct Event {
  enum class Level : std::uint8_t { kInfo, kWarning, kAlarm };
  Level level = Level::kInfo;
  std::string kind;  ///< "device.attached", "publish.refused", "alarm.equivocation"
  std::string device;
  std::string peer;
  std::string text;
};

using Effect = std::variant<Persist, Wake, Close, SignCertificate, ReplyEnrol, OperatorDone, Event>;
using Effects = std::vector<Effect>;

}  // namespace cygnet::controller
