// SPDX-License-Identifier: Apache-2.0

/// Messages of the device stream: what a lying controller sends a device, and what a device in
/// possession of a certificate sends a controller. And what our controller encodes, our agent reads
/// as it was meant. With 128 or more in front the input is a story: three devices say what they
/// like to a controller (lying_devices.h).

#include "cygnet/agent/link/convert.h"
#include "cygnet/controller/core/messages.h"
#include "cygnet/controller/core/wire_encode.h"
#include "fuzz.h"
#include "lying_devices.h"

using namespace cygnet;

namespace {

void relayed_as_meant(fuzz::Input& in) {
  const auto shared = [&](std::size_t n) { return std::make_shared<const Bytes>(in.exactly(n)); };
  const std::uint8_t what = in.u8();
  controller::RelayedDim dim;
  dim.dim = shared(in.u8());
  dim.certificate = shared(in.u8());
  dim.accepted_at = ServerTime(std::chrono::milliseconds(in.u32()));
  const bool removed = (what & 1) != 0, with_dim = (what & 2) != 0;
  const std::string name = "d" + std::to_string(in.u8()) + ".mesh";
  const auto change = std::make_shared<const Bytes>(
      removed
          ? controller::encode_removal(name)
          : controller::encode_change(name, with_dim ? &dim : nullptr, nullptr, nullptr, nullptr));
  const Bytes epoch = in.exactly(16);
  controller::UpdateTail tail;
  tail.epoch = epoch;
  tail.position = in.u32();
  tail.snapshot_begin = (what & 4) != 0;
  tail.snapshot_end = (what & 8) != 0;
  const auto message =
      agent::decode_controller_message(controller::encode_update(std::span(&change, 1), tail));
  if (!message) {
    // Only a DIM that could never be stored is refused: empty, or without a certificate.
    FUZZ_REQUIRE(message.error().code == agent::kErrMessage);
    FUZZ_REQUIRE(with_dim && (dim.dim->empty() || dim.certificate->empty()));
    return;
  }
  const auto* update = std::get_if<agent::Update>(&*message);
  FUZZ_REQUIRE(update != nullptr && update->changes.size() == 1);
  const auto& got = update->changes.front();
  FUZZ_REQUIRE(got.device.value() == name && got.removed == removed);
  if (removed) return;
  FUZZ_REQUIRE(got.dim.has_value() == with_dim);
  if (with_dim) FUZZ_REQUIRE(got.dim->dim == *dim.dim && got.dim->certificate == *dim.certificate);
}

void devices_say(fuzz::Input& in) {
  fuzz::LyingDevices devices;
  for (int steps = 0; !in.empty() && steps < 60; ++steps) devices.step(in);
  devices.finish();
}

}  // namespace

FUZZ_TARGET(stream_messages) {
  fuzz::Input in(octets);
  const std::uint8_t kind = in.u8();
  if (kind >= 128) return devices_say(in);
  const std::uint8_t what = kind % 4;
  if (what == 0) return relayed_as_meant(in);
  const ByteView message = in.rest();
  if (what == 1) {
    const auto decoded = agent::decode_controller_message(message);
    if (!decoded) FUZZ_REQUIRE(decoded.error().code == agent::kErrMessage);
  } else if (what == 2) {
    const auto decoded = agent::decode_enrol_reply(message);
    if (!decoded) FUZZ_REQUIRE(!decoded.error().message.empty());
  } else if (const auto request = controller::decode_enrol_request(message)) {
    FUZZ_REQUIRE(request->token.size() + request->csr.size() <= message.size());
  }
}
