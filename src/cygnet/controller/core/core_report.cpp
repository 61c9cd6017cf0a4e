// SPDX-License-Identifier: Apache-2.0
// What devices report: refusals, alarms, SA events, and ESP for an SPI that nobody has.
#include <algorithm>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/inbound.h"
#include "cygnet/controller/core/messages.h"
#include "cygnet/controller/core/spi_map.h"

namespace cygnet::controller {
namespace {

/// Reported text goes to logs and screens: bounded, printable.
std::string shown(const std::string& text) {
  constexpr std::size_t kMax = 300;
  std::string out = text.substr(0, kMax);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

/// The form of an error code: kebab-case.
bool is_code(const std::string& text) {
  constexpr std::size_t kMax = 40;
  return !text.empty() && text.size() <= kMax && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::string counter_text(std::uint64_t wire) {
  return to_string(proto::RekeyCounter::from_wire(wire));
}

}  // namespace

void Core::on_report(Session& session, const Inbound& inbound, Times now) {
  const pb::Report& report = inbound.message.report();
  if (!entry(session.device).reports.take(now.mono)) {
    counters_.add("reports-limited");
    return;
  }
  counters_.add("reports");
  switch (report.what_case()) {
    case pb::Report::kBadSpi:
      counters_.add("reports.bad-spi", std::max<std::uint64_t>(1, report.bad_spi().count()));
      return on_bad_spi(session, report.bad_spi().spi(), as_bytes(report.bad_spi().source()), now);
    case pb::Report::kRefused: {
      const auto& refused = report.refused();
      counters_.add("reports.refused");
      counters_.add("reports.refused." + counted_code(refused.code()));
      return note(Event::Level::kWarning, "dim.refused", session.name,
                  shown(refused.code() + ": " + refused.message()) + " (counter " +
                      counter_text(refused.counter()) + ")",
                  shown(refused.device()));
    }
    case pb::Report::kSaEvent: {
      const auto& event = report.sa_event();
      counters_.add("reports.sa-event");
      return note(Event::Level::kInfo, "sa." + shown(event.event().substr(0, 40)), session.name,
                  shown(event.detail()) + " (" + counter_text(event.local()) + ", " +
                      counter_text(event.remote()) + ")",
                  shown(event.peer()));
    }
    case pb::Report::kNoProposal: {
      const auto& none = report.no_proposal();
      counters_.add("reports.no-proposal");
      return note(Event::Level::kWarning, "no-proposal-chosen", session.name,
                  "no common proposal between " + counter_text(none.local()) + " and " +
                      counter_text(none.remote()),
                  shown(none.peer()));
    }
    case pb::Report::kAlarm:
      counters_.add("reports.alarm");
      return note(Event::Level::kAlarm, "alarm." + shown(report.alarm().code().substr(0, 40)),
                  session.name, shown(report.alarm().message()));
    case pb::Report::WHAT_NOT_SET:
      counters_.add("reports.unknown");
      return;
  }
}

/// A device may put anything into a code, and the name of a counter stays for ever.
std::string Core::counted_code(const std::string& code) {
  if (report_codes_.contains(code)) return code;
  if (!is_code(code) || report_codes_.size() >= setup_.limits.report_codes_max) return "other";
  report_codes_.insert(code);
  return code;
}

/// "the controller, which knows all nonces, maps the SPI to a pair and sends each side the other's
/// newest DIM; a side that has it and still lacks the pair newest x newest rolls over, at most once
/// a minute; SPIs of older generations only get the DIMs." (protocol section 6, Bad SPI)
void Core::on_bad_spi(Session& session, std::uint32_t spi, ByteView source, Times now) {
  const DeviceIndex self = session.device;
  DeviceEntry& known = entry(self);
  if (!known.bad_spis.take(now.mono)) {
    counters_.add("bad-spi-limited");
    return;
  }
  std::vector<const proto::Dim*> own;
  for (const Generation& g : known.generations) own.push_back(g.dim.get());
  std::vector<DeviceIndex> candidates;
  for (const Link& link : relay_->links(self)) {
    if (!link.removed) candidates.push_back(link.peer);
  }
  // The peer whose address the packet came from is the likely one.
  std::stable_partition(candidates.begin(), candidates.end(), [&](DeviceIndex peer) {
    const auto& endpoints = relay_->endpoints_of(peer);
    return std::any_of(endpoints.begin(), endpoints.end(),
                       [&](const Endpoint& e) { return equal(e.address, source); });
  });
  std::size_t budget = kSpiDerivationsMax;
  for (const DeviceIndex peer : candidates) {
    std::vector<const proto::Dim*> theirs;
    for (const Generation& g : entry(peer).generations) theirs.push_back(g.dim.get());
    const auto match = find_inbound_spi(spi, own, theirs, budget);
    if (!match) continue;
    counters_.add("bad-spi-mapped");
    const bool newest = match->local == 0 && match->remote == 0;
    note(Event::Level::kWarning, "bad-spi", session.name,
         newest ? "ESP for the newest pair, which it lacks"
                : "ESP for a pair of an older generation",
         full_name(peer));
    bool command = false;
    if (newest) {
      auto& last = known.missing_newest_at[peer];
      auto& theirs_last = entry(peer).missing_newest_at[self];
      const Timestamp before = std::max(last, theirs_last);
      command = before == Timestamp{} || now.mono - before >= setup_.limits.missing_newest_interval;
      if (command) last = theirs_last = now.mono;
    }
    commit_in_memory(
        [this, self, peer, command](Position at, Times when) {
          relay_->want(self, peer, at, when.mono);
          relay_->want(peer, self, at, when.mono);
          if (!command) return;
          counters_.add("missing-newest");
          // After the DIMs: whoever gets it judges with them in hand.
          if (const auto a = relay_->session_of(self)) {
            send_after_updates(*a, encode_missing_newest(full_name(peer)));
          }
          if (const auto b = relay_->session_of(peer)) {
            send_after_updates(*b, encode_missing_newest(full_name(self)));
          }
        },
        now);
    return;
  }
  counters_.add("bad-spi-unmapped");
  note(Event::Level::kInfo, "bad-spi", session.name,
       "ESP for an SPI of no pair that is known here");
}

}  // namespace cygnet::controller
