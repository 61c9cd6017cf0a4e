// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/state_dir.h"

#include <algorithm>
#include <system_error>

#include "cygnet/agent/driver/state_convert.h"
#include "cygnet/agent/driver/state_file.h"

namespace cygnet::agent {
namespace {

constexpr const char* kIdentityKey = "identity.key";
constexpr const char* kCertificate = "certificate.pem";
constexpr const char* kTrust = "trust.pem";
constexpr const char* kMesh = "mesh.state";
constexpr const char* kDevice = "device.state";
constexpr const char* kClock = "clock.state";
constexpr const char* kPins = "pins.state";
constexpr const char* kRevocations = "revocations.state";
constexpr const char* kPeers = "peers.state";
constexpr std::size_t kEvidenceMax = 32;  ///< files; the oldest proof is as good as the newest

template <class Message>
Status parse(Message& message, const Bytes& payload) {
  if (message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return {};
  return fail(kErrStateCorrupt, "the file's content cannot be read");
}

}  // namespace

// ---- Frames ----

Result<std::optional<Bytes>> StateDir::load(const char* file, const char* kind,
                                            const char* cure) const {
  const rt::Path path = path_ / file;
  CYGNET_TRY(std::optional<Bytes> content, rt::read_file_if_exists(path));
  if (!content) return std::optional<Bytes>();
  Result<Bytes> payload = unframe_state(kind, *content);
  if (!payload) {
    Error error = std::move(payload).error();
    if (error.cure.empty()) error.cure = cure;
    return fail(std::move(error).within(path.string()));
  }
  return std::optional<Bytes>(std::move(*payload));
}

Status StateDir::store(const char* file, const char* kind, const std::string& message) const {
  return rt::write_file_atomic(path_ / file, ByteView(frame_state(kind, as_bytes(message))), 0600);
}

// ---- Enrolment ----

Result<std::optional<crypto::IdentityKey>> StateDir::load_identity_key() const {
  const rt::Path path = path_ / kIdentityKey;
  Result<SecretBytes> pem = rt::read_secret(path);
  if (!pem) {
    if (pem.error().code == rt::kErrFileNotFound) return std::optional<crypto::IdentityKey>();
    return fail(std::move(pem).error());
  }
  Result<crypto::IdentityKey> key = crypto::IdentityKey::from_pem(*pem);
  if (!key) {
    Error error = std::move(key).error();
    error.cure =
        "restore it from a backup; without it the device has to be enrolled anew: "
        "`cygnet-agent join` with an empty state directory";
    return fail(std::move(error).within(path.string()));
  }
  return std::optional<crypto::IdentityKey>(std::move(*key));
}

Status StateDir::store_identity_key(const crypto::IdentityKey& key) const {
  return rt::write_secret_atomic(path_ / kIdentityKey, key.to_pem());
}

Result<std::vector<crypto::Certificate>> StateDir::load_trust() const {
  const rt::Path path = path_ / kTrust;
  CYGNET_TRY(const std::string pem, rt::read_text_file(path));
  auto list = crypto::Certificate::list_from_pem(pem);
  if (!list) return fail(std::move(list).error().within(path.string()));
  return list;
}

Status StateDir::store_trust(const std::vector<crypto::Certificate>& trust) const {
  std::string pem;
  for (const crypto::Certificate& certificate : trust) pem += certificate.to_pem();
  return rt::write_file_atomic(path_ / kTrust, std::string_view(pem));
}

Result<crypto::Certificate> StateDir::load_certificate() const {
  const rt::Path path = path_ / kCertificate;
  CYGNET_TRY(const std::string pem, rt::read_text_file(path));
  auto list = crypto::Certificate::list_from_pem(pem);
  if (!list) return fail(std::move(list).error().within(path.string()));
  if (list->size() != 1) {
    return fail(crypto::kErrCertificate,
                "the file must hold one certificate, it holds " + std::to_string(list->size()),
                path.string(), "restore it from a backup, or enrol the device anew");
  }
  return std::move(list->front());
}

Status StateDir::store_certificate(const crypto::Certificate& certificate) const {
  return rt::write_file_atomic(path_ / kCertificate, std::string_view(certificate.to_pem()));
}

bool StateDir::joined() const {
  std::error_code ignored;
  return std::filesystem::exists(path_ / kMesh, ignored);
}

Result<MeshRecord> StateDir::load_mesh() const {
  CYGNET_TRY(const auto payload, load(kMesh, "mesh", "enrol the device anew"));
  if (!payload) {
    return fail(kErrNotJoined, "this device has not joined a mesh", (path_ / kMesh).string(),
                "run `cygnet-agent join <line> --state " + path_.string() +
                    "` with the line that `cygnet token create` prints");
  }
  pb::MeshState message;
  CYGNET_CHECK_OK(parse(message, *payload));
  auto record = mesh_from(message);
  if (!record) return fail(std::move(record).error().within((path_ / kMesh).string()));
  return record;
}

Status StateDir::store_mesh(const MeshRecord& mesh) const {
  return store(kMesh, "mesh", to_message(mesh).SerializeAsString());
}

// ---- Running ----

Result<DeviceRecord> StateDir::load_device() const {
  CYGNET_TRY(const auto payload,
             load(kDevice, "device",
                  "restore the file, or delete it: the controller then tells the boot count, and "
                  "the peers replace this device's state"));
  if (!payload) return DeviceRecord{};
  pb::DeviceState message;
  CYGNET_CHECK_OK(parse(message, *payload));
  return device_from(message);
}

Status StateDir::store_device(const DeviceRecord& device) const {
  return store(kDevice, "device", to_message(device).SerializeAsString());
}

Result<ServerTime> StateDir::load_server_time() const {
  CYGNET_TRY(const auto payload,
             load(kClock, "clock", "delete the file if the local clock can be trusted"));
  if (!payload) return ServerTime{};
  pb::ClockState message;
  CYGNET_CHECK_OK(parse(message, *payload));
  return ServerTime(std::chrono::milliseconds(message.last_server_time_ms()));
}

Status StateDir::store_server_time(ServerTime time) const {
  pb::ClockState message;
  message.set_last_server_time_ms(static_cast<std::uint64_t>(time.time_since_epoch().count()));
  return store(kClock, "clock", message.SerializeAsString());
}

Result<Pins> StateDir::load_pins() const {
  CYGNET_TRY(const auto payload,
             load(kPins, "pins",
                  "restore the file from a backup; deleting it makes this device trust the keys "
                  "it sees next"));
  if (!payload) return Pins{};
  pb::PinsState message;
  CYGNET_CHECK_OK(parse(message, *payload));
  auto pins = pins_from(message);
  if (!pins) return fail(std::move(pins).error().within((path_ / kPins).string()));
  return pins;
}

Status StateDir::store_pins(const Pins& pins) const {
  return store(kPins, "pins", to_message(pins).SerializeAsString());
}

Result<Revocations> StateDir::load_revocations() const {
  CYGNET_TRY(const auto payload,
             load(kRevocations, "revocations",
                  "restore the file from a backup, or delete it: the controller tells its list "
                  "again at the next contact"));
  if (!payload) return Revocations{};
  pb::RevocationsState message;
  CYGNET_CHECK_OK(parse(message, *payload));
  auto list = revocations_from(message);
  if (!list) return fail(std::move(list).error().within((path_ / kRevocations).string()));
  return list;
}

Status StateDir::store_revocations(const Revocations& revocations) const {
  return store(kRevocations, "revocations", to_message(revocations).SerializeAsString());
}

Result<StoredTable> StateDir::load_table() const {
  CYGNET_TRY(const auto payload,
             load(kPeers, "peers", "delete the file: the controller sends the peers again"));
  if (!payload) return StoredTable{};
  pb::PeersState message;
  CYGNET_CHECK_OK(parse(message, *payload));
  auto table = table_from(message);
  if (!table) return fail(std::move(table).error().within((path_ / kPeers).string()));
  return table;
}

Status StateDir::store_table(const StoredTable& table) const {
  return store(kPeers, "peers", to_message(table).SerializeAsString());
}

Status StateDir::set_table_aside() const {
  std::error_code error;
  std::filesystem::rename(path_ / kPeers, path_ / (std::string(kPeers) + ".damaged"), error);
  if (error) return fail(rt::file_error(error.value(), "move aside", path_ / kPeers));
  return {};
}

Status StateDir::keep_evidence(const proto::DeviceName& device, proto::RekeyCounter counter,
                               ByteView held, ByteView seen) const {
  const rt::Path directory = path_ / "evidence";
  CYGNET_CHECK_OK(rt::make_directory(directory));
  std::error_code ignored;
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    files += entry.is_regular_file(ignored) ? 1U : 0U;
  }
  if (files + 2 > kEvidenceMax) return {};
  const std::string stem = device.value() + "-" + proto::to_string(counter);
  CYGNET_CHECK_OK(rt::write_file_atomic(directory / (stem + "-held.dim"), held, 0600));
  return rt::write_file_atomic(directory / (stem + "-seen.dim"), seen, 0600);
}

}  // namespace cygnet::agent
