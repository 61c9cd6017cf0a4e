// SPDX-License-Identifier: Apache-2.0

/// A World's controller: what it stores, gives out and marks as delivered.

#include <algorithm>

#include "world.h"
#include "world_parts.h"

namespace cygnet::explore {

World::Broken World::store(const Scenario& scenario, std::size_t i, std::string* story) {
  Device& d = device[i];
  const Published sent = *d.publishing;
  d.publishing.reset();
  auto& stored = controller.stored[i];
  if (!stored || stored->counter < sent.counter) {
    stored = sent;
    stored->accepted_at = now;
    tell(story, "the controller stores " + rekey::name_of(generation_letter(i), sent.counter));
  } else if (stored->counter == sent.counter && stored->incarnation != sent.incarnation) {
    return Violation{"S2", "two different DIMs under one counter"};
  }
  d.result = stored;
  d.result->refused = sent.counter < stored->counter;
  return scenario.slow_results ? std::nullopt : tell_result(scenario, i, story);
}

World::Broken World::tell_result(const Scenario& scenario, std::size_t i, std::string* story) {
  Device& d = device[i];
  const Published result = *d.result;
  d.result.reset();
  if (!result.refused) {
    return feed(scenario, i, rekey::PublishAccepted{result.counter, result.accepted_at}, story);
  }
  RekeyCounter mine;
  for (const auto& own : d.core.generations()) {
    if (own.phase >= rekey::GenerationPhase::kPublishing) mine = own.counter;
  }
  return feed(scenario, i,
              rekey::PublishRefused{mine, rekey::PublishRefusal::kStale, result.counter}, story);
}

World::Broken World::give_dim(const Scenario& scenario, std::size_t i, std::size_t k,
                              std::string* story) {
  const Published dim = *controller.stored[k];
  Towards& t = towards(i, k);
  t.seen = dim.counter;
  if (t.disk_last_accepted && t.disk_last_accepted->boot_count() < dim.counter.boot_count()) {
    t.told_delivered.reset();
    t.choice_floor = t.proven_floor = RekeyCounter();
  }
  if (!t.disk_last_accepted || *t.disk_last_accepted < dim.counter) {
    t.disk_last_accepted = dim.counter;
  }
  return feed(scenario, i,
              rekey::PeerDim{peer_id(k), dim.counter, dim.initial_contact, dim.accepted_at}, story);
}

World::Broken World::give_mark(const Scenario& scenario, std::size_t i, std::string* story) {
  const Mark said = *mark_waits(i);
  device[i].marked = said;
  if (!said.attached_missing) device[i].delivered = said.counter;
  rekey::DeliveryMark mark{said.counter, {}, 0, 0};
  for (std::size_t k = 0; k < devices; ++k) {
    if (!linked(i, k)) continue;
    if (said.acknowledged[k]) {
      mark.acknowledged.push_back(peer_id(k));
      towards(i, k).told_delivered = said.counter;
    } else {
      ++(device[k].attached ? mark.attached_missing : mark.unattached_missing);
    }
  }
  return feed(scenario, i, mark, story);
}

World::Broken World::attach(const Scenario& scenario, std::size_t i, std::string* story) {
  Device& d = device[i];
  d.attached = true;
  d.marked.reset();
  for (Towards& t : d.towards) t.seen.reset();
  if (auto broken = feed(scenario, i, rekey::LinkUp{}, story)) return broken;
  rekey::OwnDimReported own;
  const auto& stored = controller.stored[i];
  if (stored) {
    own.stored = stored->counter;
    own.accepted_at = stored->accepted_at;
    const auto status = d.core.device_status();
    const bool ours =
        stored->incarnation == d.incarnation &&
        std::any_of(status.generations.begin(), status.generations.end(), [&](const auto& g) {
          return g.counter == stored->counter && g.phase >= rekey::GenerationPhase::kPublishing;
        });
    const RekeyCounter newest(status.boot_count, status.last_sequence);
    if (ours) {
      own.verdict = rekey::OwnDimVerdict::kSame;
    } else if (newest < stored->counter || stored->counter == newest ||
               stored->incarnation != d.incarnation) {
      own.verdict = rekey::OwnDimVerdict::kStoredNewer;
    } else {
      own.verdict = rekey::OwnDimVerdict::kDeviceNewer;
    }
  }
  return feed(scenario, i, own, story);
}

}  // namespace cygnet::explore
