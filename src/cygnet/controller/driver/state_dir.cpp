// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/driver/state_dir.h"

#include <algorithm>
#include <future>

#include "cygnet/controller/store/open.h"
#include "cygnet/crypto/random.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::controller {
namespace {

using std::chrono::hours;

constexpr hours kCaLifetime{24 * 365 * 20};
constexpr hours kServerLifetime{24 * 365};
/// A server certificate with less left than this is made anew (same key) at the next start.
constexpr hours kServerRenewBefore{24 * 120};
constexpr hours kBackdate{1};
constexpr hours kFirstTokenLifetime{24};
constexpr std::size_t kTokenLength = 20;
constexpr std::size_t kAdminTokenLength = 32;

/// What devices see as the controller's name. Three labels: no device can have such a certificate.

Status write_pem(const rt::Path& path, const crypto::Certificate& certificate) {
  return rt::write_file_atomic(path, certificate.to_pem(), 0644);
}

Result<crypto::Certificate> read_pem(const rt::Path& path) {
  CYGNET_TRY(auto pem, rt::read_text_file(path));
  CYGNET_TRY(auto list, crypto::Certificate::list_from_pem(pem));
  if (list.empty()) return fail(kErrState, "there is no certificate in it", path.string());
  return std::move(list.front());
}

Result<bool> file_exists(const rt::Path& path) {
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  if (error) return fail(rt::file_error(error.value(), "look at", path));
  return there;
}

Result<crypto::IdentityKey> read_key(const rt::Path& path) {
  CYGNET_TRY(auto pem, rt::read_secret(path));
  return crypto::IdentityKey::from_pem(pem);
}

/// The key at a path, made when there is none.
Result<crypto::IdentityKey> key_at(const rt::Path& path) {
  CYGNET_TRY(const bool there, file_exists(path));
  if (there) return read_key(path);
  CYGNET_TRY(auto key, crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256));
  CYGNET_CHECK_OK(rt::write_secret_atomic(path, key.to_pem()));
  return key;
}

Result<crypto::Certificate> make_ca(const crypto::IdentityKey& key, const std::string& mesh,
                                    ServerTime now) {
  crypto::CertificateSpec spec;
  spec.spki = key.spki();
  spec.common_name = "Cygnet identity CA of " + mesh;
  spec.not_before = now - kBackdate;
  spec.not_after = now + kCaLifetime;
  spec.is_ca = true;
  return crypto::issue(spec, key, std::nullopt);
}

Result<crypto::Certificate> make_server(const crypto::IdentityKey& key, const Authority& authority,
                                        const std::string& mesh, ServerTime now) {
  crypto::CertificateSpec spec;
  spec.spki = key.spki();
  spec.common_name = wire::controller_name(mesh);
  spec.dns_sans = {wire::controller_name(mesh)};
  spec.not_before = now - kBackdate;
  spec.not_after = std::min(now + kServerLifetime, authority.certificate().not_after());
  spec.server_auth = true;
  return authority.sign(spec);
}

Result<std::unique_ptr<store::Store>> open_store(const rt::Path& directory) {
  CYGNET_TRY(auto engine, store::open_sqlite_engine((directory / "store.db").string()));
  return store::make_group_commit_store(std::move(engine));
}

Result<std::optional<store::MeshState>> load_mesh(store::Store& store) {
  CYGNET_TRY(auto snapshot, store.load());
  if (snapshot.meshes.empty()) return std::optional<store::MeshState>{};
  return std::optional(std::move(snapshot.meshes.front()));
}

}  // namespace

Result<Authority> Authority::make(const std::string& mesh_name, ServerTime now) {
  CYGNET_TRY(auto key, crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256));
  CYGNET_TRY(auto certificate, make_ca(key, mesh_name, now));
  return Authority(std::move(key), std::move(certificate));
}

Status submit_and_wait(store::Store& store, store::WriteBatch batch) {
  std::promise<Status> promise;
  auto future = promise.get_future();
  store.submit(std::move(batch), [&promise](Status status) { promise.set_value(status); });
  return future.get();
}

FreshToken make_token(ServerTime now, std::chrono::milliseconds ttl) {
  const Bytes secret = crypto::system_random().octets(kTokenLength);
  FreshToken token;
  token.secret = to_hex(secret);
  token.record.hash = crypto::sha256({secret});
  token.record.created_at = now;
  token.record.expires_at = now + ttl;
  return token;
}

Result<InitReport> init_state(const InitOptions& options, ServerTime now) {
  if (!rt::is_dns_label(options.mesh)) {
    return fail(kErrState, "\"" + options.mesh + "\" is no mesh name", "--mesh",
                "use one lower-case DNS label: a-z, 0-9 and inner hyphens");
  }
  CYGNET_CHECK_OK(rt::make_directory(options.directory, 0700));
  CYGNET_TRY(auto lock, rt::StateLock::acquire(options.directory));
  CYGNET_TRY(auto store, open_store(options.directory));
  CYGNET_TRY(auto mesh, load_mesh(*store));
  if (mesh && mesh->mesh.name != options.mesh) {
    return fail(kErrStateMesh, "the mesh \"" + mesh->mesh.name + "\" lives here",
                options.directory.string(),
                "choose another directory for \"" + options.mesh + "\"");
  }

  // The CA. A certificate without a key is an external CA: nothing is made then.
  const rt::Path ca_key_path = options.directory / "identity-ca.key";
  const rt::Path ca_path = options.directory / "identity-ca.pem";
  CYGNET_TRY(const bool has_ca, file_exists(ca_path));
  CYGNET_TRY(const bool has_ca_key, file_exists(ca_key_path));
  std::optional<Authority> authority;
  if (has_ca_key || !has_ca) {
    CYGNET_TRY(auto key, key_at(ca_key_path));
    if (!has_ca) {
      CYGNET_TRY(auto made, make_ca(key, options.mesh, now));
      CYGNET_CHECK_OK(write_pem(ca_path, made));
    }
    CYGNET_TRY(auto certificate, read_pem(ca_path));
    authority.emplace(std::move(key), std::move(certificate));
  }
  CYGNET_TRY(const auto ca, read_pem(ca_path));

  CYGNET_TRY(auto server_key, key_at(options.directory / "server.key"));
  CYGNET_TRY(const bool has_server, file_exists(options.directory / "server.pem"));
  if (!has_server && authority) {
    CYGNET_TRY(auto made, make_server(server_key, *authority, options.mesh, now));
    CYGNET_CHECK_OK(write_pem(options.directory / "server.pem", made));
  }
  const rt::Path admin_path = options.directory / "admin.token";
  CYGNET_TRY(const bool has_admin, file_exists(admin_path));
  if (!has_admin) {
    const std::string admin = to_hex(crypto::system_random().octets(kAdminTokenLength)) + "\n";
    CYGNET_CHECK_OK(rt::write_secret_atomic(admin_path, SecretBytes(as_bytes(admin))));
  }

  InitReport report;
  report.fresh = !mesh.has_value();
  report.mesh = options.mesh;
  report.ca_fingerprint = rt::certificate_fingerprint(ca);
  report.listen = options.listen.to_string();
  report.advertise = options.advertise.value_or(options.listen).to_string();
  if (mesh) {
    report.mesh_id = mesh->mesh.id;
    store::WriteBatch batch{mesh->mesh.id, {}};
    batch.add(store::PutSetting{kSettingListen, report.listen});
    batch.add(store::PutSetting{kSettingAdvertise, report.advertise});
    CYGNET_CHECK_OK(submit_and_wait(*store, std::move(batch)));
    store->close();
    return report;
  }

  store::MeshRecord record;
  crypto::system_random().fill(record.id);
  crypto::system_random().fill(record.epoch);
  record.name = options.mesh;
  record.created_at = now;
  report.mesh_id = record.id;
  FreshToken token = make_token(now, kFirstTokenLifetime);
  token.record.device = options.device;
  token.record.created_by = "cygnetd init";
  store::WriteBatch batch{record.id, {}};
  batch.add(store::CreateMesh{record});
  batch.add(store::SetTrust{{ca.der()}});
  batch.add(store::PutSetting{kSettingListen, report.listen});
  batch.add(store::PutSetting{kSettingAdvertise, report.advertise});
  batch.add(store::PutToken{token.record});
  batch.add(store::AppendAudit{{0, now, "cygnetd init", "mesh.create", options.mesh, {}, {}}});
  CYGNET_CHECK_OK(submit_and_wait(*store, std::move(batch)));
  store->close();

  CYGNET_TRY(const auto advertised, rt::parse_host_port(report.advertise, kDefaultPort));
  report.join_line =
      wire::to_string(wire::JoinLine{advertised.host, advertised.port, options.mesh, options.device,
                                     token.secret, report.ca_fingerprint});
  return report;
}

Result<std::optional<rt::TlsIdentity>> renew_server_if_due(const rt::Path& directory,
                                                           const std::string& mesh,
                                                           ServerTime now) {
  CYGNET_TRY(const auto present, read_pem(directory / "server.pem"));
  CYGNET_TRY(const bool has_key, file_exists(directory / "identity-ca.key"));
  if (!has_key || present.not_after() - now >= kServerRenewBefore) {
    return std::optional<rt::TlsIdentity>{};
  }
  CYGNET_TRY(auto ca_key, read_key(directory / "identity-ca.key"));
  CYGNET_TRY(auto ca, read_pem(directory / "identity-ca.pem"));
  CYGNET_TRY(auto server_key, read_key(directory / "server.key"));
  CYGNET_TRY(auto server, make_server(server_key, Authority(std::move(ca_key), ca), mesh, now));
  CYGNET_CHECK_OK(write_pem(directory / "server.pem", server));
  return std::optional(rt::TlsIdentity{std::move(server_key), {std::move(server), std::move(ca)}});
}

Result<State> open_state(const rt::Path& directory, ServerTime now) {
  const std::string cure = "run: cygnetd init --state " + directory.string() + " --mesh NAME";
  CYGNET_TRY(const bool there, file_exists(directory / "identity-ca.pem"));
  if (!there) {
    return fail(kErrState, "no mesh was made here yet", directory.string(), cure);
  }
  CYGNET_TRY(auto lock, rt::StateLock::acquire(directory));
  CYGNET_TRY(auto ca, read_pem(directory / "identity-ca.pem"));
  CYGNET_TRY(auto store, open_store(directory));
  CYGNET_TRY(auto mesh, load_mesh(*store));
  if (!mesh) return fail(kErrState, "the store holds no mesh", directory.string(), cure);
  std::optional<Authority> authority;
  CYGNET_TRY(const bool has_key, file_exists(directory / "identity-ca.key"));
  if (has_key) {
    CYGNET_TRY(auto key, read_key(directory / "identity-ca.key"));
    authority.emplace(std::move(key), ca);
  }
  CYGNET_TRY(auto server_key, read_key(directory / "server.key"));
  CYGNET_TRY(auto server, read_pem(directory / "server.pem"));
  CYGNET_TRY(auto renewed, renew_server_if_due(directory, mesh->mesh.name, now));
  if (renewed) server = renewed->chain.front();
  rt::TlsIdentity identity{std::move(server_key), {std::move(server), ca}};
  return State{std::move(lock),      directory,     std::move(store),   std::move(*mesh),
               std::move(authority), std::move(ca), std::move(identity)};
}

}  // namespace cygnet::controller
