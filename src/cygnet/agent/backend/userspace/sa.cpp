// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/sa.h"

#include <string>

namespace cygnet::agent::userspace {

Result<std::unique_ptr<SaPair>> make_sa_pair(SaPairSpec spec, crypto::Random& random) {
  if (spec.replay_window < esp::ReplayWindow::kMinSize ||
      spec.replay_window > esp::ReplayWindow::kMaxSize) {
    return fail(kErrReplayWindow, "replay window of " + std::to_string(spec.replay_window), "SA",
                "choose " + std::to_string(esp::ReplayWindow::kMinSize) + " to " +
                    std::to_string(esp::ReplayWindow::kMaxSize));
  }
  if (spec.lanes.empty()) return fail(kErrSaLanes, "an SA pair without lanes", "SA");
  auto pair = std::make_unique<SaPair>();
  pair->id = spec.pair;
  for (const LaneSpec& lane : spec.lanes) pair->spis.emplace_back(lane.inbound, lane.outbound);
  const esp::EspFormat format(spec.suite, spec.esn);
  for (LaneSpec& lane : spec.lanes) {
    CYGNET_TRY(auto open, crypto::PacketCipher::create(spec.suite, lane.inbound_encr.reveal(),
                                                       lane.inbound_integ.reveal()));
    CYGNET_TRY(auto seal, crypto::PacketCipher::create(spec.suite, lane.outbound_encr.reveal(),
                                                       lane.outbound_integ.reveal()));
    SecretBytes seed(IvSource::kSeedLength);
    random.fill(seed.reveal_mutable());
    CYGNET_TRY(IvSource iv, IvSource::create(spec.suite, seed.reveal()));
    pair->inbound.push_back(
        std::unique_ptr<InboundSa>(new InboundSa{lane.inbound,
                                                 pair.get(),
                                                 format,
                                                 std::move(open),
                                                 esp::ReplayWindow(spec.replay_window, spec.esn),
                                                 {},
                                                 {},
                                                 nullptr}));
    pair->outbound.push_back(std::unique_ptr<OutboundSa>(
        new OutboundSa{lane.outbound, format, std::move(seal), std::move(iv), 0, {}}));
  }
  return pair;
}

Result<std::unique_ptr<SaPair>> make_claimed_pair(const SaPairClaim& claim) {
  if (claim.spis.empty()) return fail(kErrSaLanes, "an SA pair without lanes", "SA");
  auto pair = std::make_unique<SaPair>();
  pair->id = claim.pair;
  pair->spis = claim.spis;
  pair->claimed = true;
  const esp::EspFormat format(claim.suite, claim.esn);
  for (const auto& [inbound, outbound] : claim.spis) {
    // The smallest window: nothing verifies before the keys come, and theirs comes with them.
    pair->inbound.push_back(std::unique_ptr<InboundSa>(
        new InboundSa{inbound,
                      pair.get(),
                      format,
                      nullptr,
                      esp::ReplayWindow(esp::ReplayWindow::kMinSize, claim.esn),
                      {},
                      {},
                      nullptr}));
  }
  return pair;
}

bool complete(SaPair& pair, SaPair& keyed) {
  if (!pair.claimed || keyed.id != pair.id || keyed.spis != pair.spis) return false;
  // In place: the SAD knows these SAs by their addresses.
  for (std::size_t lane = 0; lane < pair.inbound.size(); ++lane) {
    InboundSa& sa = *pair.inbound[lane];
    InboundSa& from = *keyed.inbound[lane];
    sa.format = from.format;
    sa.cipher = std::move(from.cipher);
    sa.window = std::move(from.window);
  }
  if (!pair.outbound_removed) pair.outbound = std::move(keyed.outbound);
  pair.claimed = false;
  return true;
}

}  // namespace cygnet::agent::userspace
