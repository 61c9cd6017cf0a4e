// SPDX-License-Identifier: Apache-2.0
#include "cygnet/debug/suite.h"
#include "cygnet/debug/verbs.h"
#include "cygnet/esp/packet.h"

namespace cygnet::debug {
namespace {

struct Common {
  crypto::EspSuite suite;
  SecretBytes encr_key;
  SecretBytes integ_key;
  bool esn = false;
  std::uint32_t seq_hi = 0;
  [[nodiscard]] esp::DirectionKeyViews keys() const {
    return {encr_key.reveal(), integ_key.reveal()};
  }
};

Result<SecretBytes> read_key(Fields& fields, std::string_view name) {
  CYGNET_TRY(Bytes octets, fields.octets(name));
  SecretBytes key{ByteView(octets)};
  secure_zero(octets.data(), octets.size());
  return key;
}

Result<Common> read_common(Fields& fields) {
  Common out;
  CYGNET_TRY(out.suite, read_suite(fields));
  CYGNET_TRY(out.encr_key, read_key(fields, "encr_key"));
  if (fields.has("integ_key")) {
    CYGNET_TRY(out.integ_key, read_key(fields, "integ_key"));
  } else if (!out.suite.is_aead()) {
    return fail(kErrMissingField, "field integ_key is missing");
  }
  if (fields.has("esn")) {
    CYGNET_TRY(out.esn, fields.boolean("esn"));
  }
  if (fields.has("seq_hi")) {
    CYGNET_TRY(const std::uint64_t high, fields.number("seq_hi", 0xffffffff));
    out.seq_hi = static_cast<std::uint32_t>(high);
  }
  if (!out.esn && out.seq_hi != 0) {
    return fail(kErrRange, "field seq_hi is not 0, which needs esn");
  }
  return out;
}

// "0000abcd" as derive prints it, or a plain number.
Result<std::uint32_t> read_spi(Fields& fields) {
  const Result<Bytes> octets = fields.octets("spi");
  if (!octets && octets.error().code == kErrWrongType) {
    CYGNET_TRY(const std::uint64_t value, fields.number("spi", 0xffffffff));
    return static_cast<std::uint32_t>(value);
  }
  CYGNET_TRY(const Bytes spi, octets);
  if (spi.size() != 4) return fail(kErrRange, "field spi has not 4 octets");
  return load_be32(spi.data());
}

}  // namespace

Result<Answer> esp_open(const Json& json) {
  CYGNET_TRY(Fields fields, Fields::of(json, ""));
  CYGNET_TRY(const Common common, read_common(fields));
  CYGNET_TRY(const Bytes packet, fields.octets("packet"));
  CYGNET_CHECK_OK(fields.done());
  CYGNET_TRY(const esp::OpenedPacket opened,
             esp::open_packet(common.suite, common.keys(), common.esn, common.seq_hi, packet));
  std::array<std::uint8_t, 4> spi{};
  store_be32(spi.data(), opened.spi);
  return answer(Json::object({{"spi", to_hex(spi)},
                              {"seq", static_cast<std::uint32_t>(opened.sequence)},
                              {"next_header", opened.next_header},
                              {"pad_length", opened.pad_length},
                              {"payload", to_hex(opened.payload)}}));
}

Result<Answer> esp_seal(const Json& json) {
  CYGNET_TRY(Fields fields, Fields::of(json, ""));
  CYGNET_TRY(const Common common, read_common(fields));
  CYGNET_TRY(const std::uint32_t spi, read_spi(fields));
  CYGNET_TRY(const std::uint64_t seq, fields.number("seq", 0xffffffff));
  CYGNET_TRY(const Bytes iv, fields.octets("iv"));
  CYGNET_TRY(const std::uint64_t next_header, fields.number("next_header", 255));
  CYGNET_TRY(const Bytes payload, fields.octets("payload"));
  CYGNET_CHECK_OK(fields.done());
  const std::uint64_t sequence = (std::uint64_t{common.seq_hi} << 32) | seq;
  CYGNET_TRY(const Bytes packet,
             esp::seal_packet(common.suite, common.keys(), common.esn, spi, sequence, iv,
                              static_cast<std::uint8_t>(next_header), payload));
  return answer(Json::object({{"packet", to_hex(packet)}}));
}

}  // namespace cygnet::debug
