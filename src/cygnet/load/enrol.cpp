// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/enrol.h"

#include "cygnet/agent/link/join.h"

namespace cygnet::load {
namespace {

constexpr Duration kJoinLimit = std::chrono::seconds(30);
/// The controller admits so many joins a minute; whoever asks again a little later is let in.
constexpr Duration kRatePause = std::chrono::milliseconds(200);
constexpr int kRateTries = 300;

void rest(rt::Loop& loop, Duration pause) {
  rt::Timer timer(loop);
  bool rested = false;
  timer.arm_after(pause, [&rested] { rested = true; });
  (void)loop.run_until([&rested] { return rested; }, pause * 10);
}

}  // namespace

Status enrol(rt::Loop& loop, const wire::JoinLine& line, std::uint32_t devices, Fleet& fleet,
             const std::function<void(std::uint32_t)>& progress) {
  while (fleet.members.size() < devices) {
    const std::string name = member_name(static_cast<std::uint32_t>(fleet.members.size()));
    CYGNET_TRY(auto key, crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256));
    auto joined = agent::join(loop, line, name, key, kJoinLimit, [](Duration) {});
    for (int i = 0; !joined && joined.error().code == ErrorCode("rate-limit") && i < kRateTries;
         ++i) {
      rest(loop, kRatePause);
      joined = agent::join(loop, line, name, key, kJoinLimit, [](Duration) {});
    }
    if (!joined) return fail(std::move(joined).error().within("enrolling " + name));
    if (!fleet.members.empty() && fleet.mesh != joined->mesh) {
      return fail(kErrFleet, "the identities prepared here are of another mesh", name,
                  "use another --identities, or remove the file");
    }
    fleet.mesh = joined->mesh;
    fleet.mesh_name = joined->mesh_name;
    fleet.trust = std::move(joined->trust);
    fleet.members.push_back({name, std::move(key), std::move(joined->certificate)});
    progress(static_cast<std::uint32_t>(fleet.members.size()));
  }
  return {};
}

}  // namespace cygnet::load
