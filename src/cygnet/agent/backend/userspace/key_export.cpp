// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/key_export.h"

#ifdef CYGNET_INSECURE_KEY_EXPORT
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cygnet/agent/backend/common/fd.h"
#endif

namespace cygnet::agent::userspace {

#ifdef CYGNET_INSECURE_KEY_EXPORT

namespace {

const char* wireshark_encr(const crypto::EspSuite& suite) {
  switch (suite.encr) {
    case crypto::EncrId::kAesGcm16:
      return "AES-GCM with 16 octet ICV [RFC4106]";
    case crypto::EncrId::kChaCha20Poly1305:
      return "ChaCha20 with Poly1305 [RFC7634]";
    case crypto::EncrId::kAesCbc:
      break;
  }
  return "AES-CBC [RFC3602]";
}

const char* wireshark_integ(const crypto::EspSuite& suite) {
  switch (suite.integ) {
    case crypto::IntegId::kHmacSha2_256_128:
      return "HMAC-SHA-256-128 [RFC4868]";
    case crypto::IntegId::kHmacSha2_384_192:
      return "HMAC-SHA-384-192 [RFC4868]";
    case crypto::IntegId::kHmacSha2_512_256:
      return "HMAC-SHA-512-256 [RFC4868]";
    case crypto::IntegId::kNone:
      break;
  }
  return "NULL";
}

std::string spi_hex(proto::Spi spi) {
  std::uint8_t octets[4];
  store_be32(octets, spi.value());
  return to_hex(octets);
}

/// Addresses are wild cards: endpoints roam, and an SPI with its key is specific enough.
std::string line(const char* protocol, const crypto::EspSuite& suite, bool esn, proto::Spi spi,
                 ByteView encr, ByteView integ) {
  const auto quoted = [](const std::string& text) { return "\"" + text + "\""; };
  const std::string integ_key = integ.empty() ? std::string() : "0x" + to_hex(integ);
  return quoted(protocol) + ",\"*\",\"*\"," + quoted("0x" + spi_hex(spi)) + "," +
         quoted(wireshark_encr(suite)) + "," + quoted("0x" + to_hex(encr)) + "," +
         quoted(wireshark_integ(suite)) + "," + quoted(integ_key) + "," +
         quoted(esn ? "64-bit" : "32-bit") + ",\"0x00000000\"\n";
}

}  // namespace

Status export_keys(const std::string& path, const SaPairSpec& spec) {
  if (path.empty()) return {};
  std::string text;
  for (const LaneSpec& lane : spec.lanes) {
    for (const char* protocol : {"IPv4", "IPv6"}) {
      text += line(protocol, spec.suite, spec.esn, lane.inbound, lane.inbound_encr.reveal(),
                   lane.inbound_integ.reveal());
      text += line(protocol, spec.suite, spec.esn, lane.outbound, lane.outbound_encr.reveal(),
                   lane.outbound_integ.reveal());
    }
  }
  // One write in append mode: agents that share a file do not mix their lines.
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const ssize_t written = file.is_open() ? write(file.get(), text.data(), text.size()) : -1;
  if (written != static_cast<ssize_t>(text.size())) {
    return fail(kErrKeyExport, std::string("cannot append traffic keys: ") + std::strerror(errno),
                path);
  }
  return {};
}

#else

Status export_keys(const std::string& path, const SaPairSpec& /*spec*/) {
  if (path.empty()) return {};
  return fail(kErrKeyExport, "this build cannot export traffic keys", path,
              "leave the setting out, or use a test build (CYGNET_INSECURE_KEY_EXPORT=ON)");
}

#endif

}  // namespace cygnet::agent::userspace
