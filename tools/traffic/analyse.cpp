// SPDX-License-Identifier: Apache-2.0
#include "traffic/analyse.h"

#include <algorithm>
#include <limits>
#include <map>
#include <unordered_map>

namespace cygnet::traffic {
namespace {

using Key = std::pair<std::uint32_t, std::uint32_t>;  // from, to

struct Raw {
  std::vector<const Record*> sent;      // in the phase
  std::vector<const Record*> received;  // any time
};

Direction figure(const Key& key, const Raw& raw, const Phase& phase) {
  Direction out;
  out.from = key.first;
  out.to = key.second;
  std::unordered_map<std::uint32_t, std::uint32_t> arrivals;  // seq -> how often
  std::uint32_t first_received = std::numeric_limits<std::uint32_t>::max();
  std::uint64_t last_ns = phase.start_ns;
  bool any_in_phase = false;
  out.recovered_after_ns = std::numeric_limits<std::uint64_t>::max();
  for (const Record* r : raw.received) {
    if (r->time_ns <= phase.end_ns + kSilenceNs) {
      ++arrivals[r->seq];
      first_received = std::min(first_received, r->seq);
      out.ever_received = true;
    }
    if (phase.quiet_after_ns != 0 && r->time_ns > phase.quiet_after_ns &&
        r->time_ns <= phase.end_ns) {
      ++out.received_after_quiet;
    }
    if (r->time_ns < phase.start_ns || r->time_ns > phase.end_ns) continue;
    if (phase.mark_ns != 0 && r->time_ns >= phase.mark_ns) {
      out.recovered_after_ns = std::min(out.recovered_after_ns, r->time_ns - phase.mark_ns);
    }
    if (any_in_phase || !phase.from_first_received) {
      out.gap_max_ns = std::max(out.gap_max_ns, r->time_ns - last_ns);
    }
    any_in_phase = true;
    last_ns = r->time_ns;
  }
  if (any_in_phase || !phase.from_first_received) {
    out.gap_max_ns = std::max(out.gap_max_ns, phase.end_ns - std::min(last_ns, phase.end_ns));
  }
  for (const Record* s : raw.sent) {
    if (phase.from_first_received && s->seq < first_received) {
      ++out.before_first;
      continue;
    }
    ++out.sent;
    const auto found = arrivals.find(s->seq);
    if (found == arrivals.end()) continue;
    ++out.received;
    out.duplicated += found->second - 1;
  }
  out.lost = out.sent - out.received;
  return out;
}

}  // namespace

std::vector<Direction> analyse(const std::vector<Log>& logs, const Phase& phase) {
  std::map<Key, Raw> directions;
  for (const Log& log : logs) {
    for (const Record& r : log.records) {
      if (r.kind == Kind::kReceived) {
        directions[{r.other, log.self}].received.push_back(&r);
      } else if (r.time_ns >= phase.start_ns && r.time_ns < phase.end_ns) {
        directions[{log.self, r.other}].sent.push_back(&r);
      }
    }
  }
  std::vector<Direction> out;
  for (const auto& [key, raw] : directions) out.push_back(figure(key, raw, phase));
  return out;
}

}  // namespace cygnet::traffic
