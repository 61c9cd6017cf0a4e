// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/driver/policy_history.h"

#include <future>

#include "cygnet/controller/policy/parse.h"

namespace cygnet::controller {

Result<CoreSetup> core_setup_for(store::Store& store, const store::MeshState& mesh) {
  CoreSetup setup;
  CYGNET_TRY(setup.defaults, policy::parse("mesh: " + mesh.mesh.name + "\n", "defaults"));
  const std::size_t n = mesh.policies.size();
  for (std::size_t i = n > kPolicyHistoryMax ? n - kPolicyHistoryMax : 0; i < n; ++i) {
    HistoricPolicy historic;
    historic.header = mesh.policies[i];
    if (mesh.policy && mesh.policy->header.version == historic.header.version) {
      historic.yaml = mesh.policy->yaml;
    } else {
      std::promise<Result<store::PolicyRecord>> promise;
      auto future = promise.get_future();
      store.read_policy(
          mesh.mesh.id, historic.header.version,
          [&promise](Result<store::PolicyRecord> record) { promise.set_value(std::move(record)); });
      CYGNET_TRY(auto record, future.get());
      historic.yaml = std::move(record.yaml);
    }
    CYGNET_TRY(
        historic.document,
        policy::parse(historic.yaml, "policy version " + std::to_string(historic.header.version)));
    setup.policy_history.push_back(std::move(historic));
  }
  return setup;
}

}  // namespace cygnet::controller
