// SPDX-License-Identifier: Apache-2.0
#include "commands.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cygnet/agent/backend/userspace/userspace_backend.h"
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"
#include "cygnet/agent/driver/ppk_file.h"
#include "cygnet/agent/driver/state_dir.h"
#include "cygnet/agent/link/join.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/rt/http_client.h"
#include "cygnet/rt/text.h"

namespace cygnet::agent {
namespace {

constexpr Duration kJoinLimit = std::chrono::minutes(2);
constexpr ErrorCode kErrRefusedName{"device-name"};

std::string host_label() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0) return {};
  std::string label(name);
  label = label.substr(0, label.find('.'));
  std::transform(label.begin(), label.end(), label.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return proto::is_dns_label(label) ? label : std::string();
}

void print_queued(Duration pause) {
  std::printf(
      "The request waits for the operator's CA (docs/controller.md, Enrolment); asking again in "
      "%lld s.\n",
      static_cast<long long>(std::chrono::duration_cast<std::chrono::seconds>(pause).count()));
  std::fflush(stdout);
}

}  // namespace

Status run_join(const AgentConfig& config, const JoinCommand& command) {
  CYGNET_TRY(const wire::JoinLine line, wire::parse_join_line(command.line));
  if (!command.name.empty() && !proto::is_dns_label(command.name)) {
    return fail(proto::kErrDeviceName, "\"" + command.name + "\" is no lower-case DNS label",
                "--name", "use 1 to 63 of a-z, 0-9 and inner hyphens");
  }
  const StateDir directory{rt::Path(config.state)};
  CYGNET_CHECK_OK(rt::make_directory(directory.path(), 0700));
  CYGNET_TRY(const rt::StateLock lock, rt::StateLock::acquire(directory.path()));
  if (directory.joined()) {
    CYGNET_TRY(const MeshRecord mesh, directory.load_mesh());
    return fail(kErrAlreadyJoined, "this device is " + mesh.device.value() + " already",
                config.state,
                "give another --state, or remove the directory to enrol the device anew");
  }
  // The key stays when an answer is lost on the way: asking again with it is the same enrolment.
  CYGNET_TRY(auto key, directory.load_identity_key());
  if (!key) {
    CYGNET_TRY(crypto::IdentityKey made,
               crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256));
    CYGNET_CHECK_OK(directory.store_identity_key(made));
    key = std::move(made);
  }
  const std::string label = command.name.empty() ? line.name.value_or("") : command.name;
  rt::Loop loop;
  Result<JoinResult> joined = join(loop, line, label, *key, kJoinLimit, print_queued);
  const std::string host = host_label();
  if (!joined && label.empty() && joined.error().code == kErrRefusedName && !host.empty()) {
    // The token is bound to no name: the host's own is the natural one.
    joined = join(loop, line, host, *key, kJoinLimit, print_queued);
  }
  if (!joined) return fail(joined.error());
  CYGNET_CHECK_OK(directory.store_certificate(joined->certificate));
  CYGNET_CHECK_OK(directory.store_trust(joined->trust));
  CYGNET_CHECK_OK(directory.store_server_time(joined->server_time));
  MeshRecord mesh;
  mesh.mesh = joined->mesh;
  mesh.mesh_name = joined->mesh_name;
  mesh.device = joined->device;
  mesh.controllers = {rt::HostPort{line.host, line.port}.to_string()};
  mesh.ca_fingerprint = line.ca_fingerprint;
  CYGNET_CHECK_OK(directory.store_mesh(mesh));  // last: with it the device has joined
  std::printf("This device is %s now, mesh address %s.\nStart it: cygnet-agent run --state %s\n",
              joined->device.value().c_str(),
              proto::address_text(proto::mesh_address(mesh.mesh, mesh.device)).c_str(),
              config.state.c_str());
  return {};
}

Status run_down_open(const AgentConfig& config) {
  const rt::Path state(config.state);
  CYGNET_CHECK_OK(StateDir(state).load_mesh());
  Result<rt::StateLock> lock = rt::StateLock::acquire(state);
  if (!lock && lock.error().code == rt::kErrStateLocked) {
    rt::HttpCall call;
    call.socket_path = config.api_socket;
    call.method = "POST";
    call.target = "/api/v1/stop?open=true";
    CYGNET_TRY(const rt::HttpReply reply, rt::http_call(call));
    if (reply.status != 202) {
      return fail(kErrDown, "the agent does not stop: it answers " + std::to_string(reply.status),
                  config.api_socket, "stop it, then try again");
    }
    rt::Loop loop;
    const bool stopped = loop.run_until(
        [&] {
          lock = rt::StateLock::acquire(state);
          return lock.has_value();
        },
        std::chrono::seconds(15));
    if (!stopped) return fail(lock.error());
  } else if (!lock) {
    return fail(lock.error());
  }
  // Whichever data plane ran last.
  CYGNET_CHECK_OK(xfrm::XfrmBackend::open_all(kernel_config(config)));
  return userspace::UserspaceBackend::open_all(config.data_plane.routing);
}

Status run_close(const AgentConfig& config) {
  const StateDir directory{rt::Path(config.state)};
  CYGNET_TRY(const MeshRecord mesh, directory.load_mesh());
  CYGNET_TRY(const StoredTable table, directory.load_table());
  std::vector<IpPrefix> prefixes;
  IpAddress whole_mesh;
  whole_mesh.is_v6 = true;
  whole_mesh.octets = proto::mesh_prefix(mesh.mesh);
  prefixes.push_back({whole_mesh, 64});
  for (const StoredPeer& peer : table.peers) {
    prefixes.insert(prefixes.end(), peer.prefixes.begin(), peer.prefixes.end());
  }
  return userspace::UserspaceBackend::close_all(config.data_plane.routing, prefixes);
}

Status run_check(const AgentConfig& config) {
  CYGNET_CHECK_OK(check_config(config));
  const StateDir directory{rt::Path(config.state)};
  CYGNET_CHECK_OK(directory.load_mesh());
  CYGNET_TRY(const auto key, directory.load_identity_key());
  if (!key) return fail(kErrNotJoined, "the identity key is missing", config.state);
  CYGNET_CHECK_OK(directory.load_certificate());
  CYGNET_CHECK_OK(directory.load_trust());
  CYGNET_CHECK_OK(directory.load_device());
  CYGNET_CHECK_OK(directory.load_pins());
  CYGNET_CHECK_OK(directory.load_revocations());
  CYGNET_CHECK_OK(directory.load_table());
  if (config.ppk_file) CYGNET_CHECK_OK(PpkFile::load(*config.ppk_file));
  std::printf("The configuration and the state in %s are in order.\n", config.state.c_str());
  return {};
}

}  // namespace cygnet::agent
