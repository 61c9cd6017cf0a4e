// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/story.h"

#include <algorithm>
#include <cstdio>

#include "cygnet/sim/pki.h"
#include "cygnet/sim/rng.h"
#include "cygnet/sim/scenario.h"

namespace cygnet::sim {
namespace {

std::string time_text(Timestamp at) {
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(at - Timestamp(std::chrono::hours(1)))
          .count();
  char text[40];
  (void)std::snprintf(text, sizeof text, "%3lld:%02lld:%02lld.%03lld",
                      static_cast<long long>(ms / 3'600'000),
                      static_cast<long long>(ms / 60'000 % 60),
                      static_cast<long long>(ms / 1000 % 60), static_cast<long long>(ms % 1000));
  return text;
}

std::string pair_text(proto::SaPairId pair) {
  return proto::to_string(pair.local) + "-" + proto::to_string(pair.remote);
}

std::string line_of(const NoteEntry& e) {
  const std::string a = label_of(e.a);
  const std::string b = label_of(e.b);
  const std::string tx = "Tx(" + pair_text(e.pair) + ")";
  const std::string rx = "Rx(" + pair_text({e.pair.remote, e.pair.local}) + ")";
  const std::string own = proto::to_string(e.pair.local);
  const char* const kinds[] = {"user", "REQUEST", "REPLY"};
  const std::string kind = kinds[e.detail >> 56 & 3];
  switch (e.note) {
    case Note::kDrawn:
      return a + "  draws generation " + own;
    case Note::kErased:
      return a + "  erases the private value of " + own;
    case Note::kInstallAsked:
      return a + "  derives " + tx + ", " + rx + " with " + b;
    case Note::kInstalled:
      return a + "  has " + tx + ", " + rx + " with " + b;
    case Note::kInstallFailed:
      return a + "  could not install " + tx + " with " + b;
    case Note::kRemovedIn:
      return a + "  drops " + rx + " with " + b;
    case Note::kRemovedOut:
      return a + "  drops " + tx + " with " + b;
    case Note::kChosen:
      return e.pair == proto::SaPairId{} ? a + "  holds packets for " + b
                                         : a + "  moves to " + tx + " towards " + b;
    case Note::kSent:
      return a + " ── " + kind + " on " + tx + " ──► " + b;
    case Note::kOpened:
      return a + " ── " + kind + " on " + tx + " ──► " + b + "  opened";
    case Note::kNoSa:
      return a + " ── " + kind + " on " + tx + " ──✗ " + b + "  has no such SA";
    case Note::kBadIcv:
      return a + " ── " + kind + " on " + tx + " ──✗ " + b + "  ICV does not verify";
    case Note::kReplayed:
      return a + " ── " + kind + " on " + tx + " ──✗ " + b + "  replay";
    case Note::kLost:
      return a + " ── " + kind + " on " + tx + " ──✗   lost on the way to " + b;
    case Note::kPublish:
      return a + " ══ DIM " + own + " ══► controller";
    case Note::kAccepted:
      return a + " ◄══ accepted " + own + " ══ controller";
    case Note::kRefused:
      return a + " ◄══ refused " + own + " ══ controller";
    case Note::kDim:
      return a + " ◄══ DIM " + own + " of " + b + " ══ controller";
    case Note::kDimAccepted:
      return a + "  accepts DIM " + own + " of " + b;
    case Note::kDimRefused:
      return a + "  refuses DIM " + own + " of " + b;
    case Note::kMark:
      return a + " ◄══ delivery mark " + own + " ══ controller";
    case Note::kWelcome:
      return a + " ◄══ Welcome ══ controller";
    case Note::kUpdate:
      return a + " ◄══ Update ══ controller";
    case Note::kLinkDown:
      return a + "  loses its stream";
    case Note::kStopped:
      return a + "  is killed";
    case Note::kStarted:
      return a + "  starts, boot count " + std::to_string(e.detail);
    case Note::kPeerRemoved:
      return a + "  forgets " + b;
    case Note::kFault:
      return "!! " + std::string(to_string(static_cast<Fault>(e.detail))) + "  " + a + " " + b;
    case Note::kHealed:
      return "!! everything is repaired";
    case Note::kTimer:
      return a + "  deadline";
    case Note::kController:
      return e.detail == 0 ? "controller is gone" : "controller is back";
  }
  return {};
}

}  // namespace

void Story::add(const NoteEntry& entry) {
  const auto fold = [this](std::uint64_t value) { hash_ = mix64(hash_ ^ value); };
  fold(static_cast<std::uint64_t>(entry.at.time_since_epoch().count()));
  fold((static_cast<std::uint64_t>(entry.note) << 56) ^ (std::uint64_t{entry.a} << 28) ^ entry.b);
  fold(entry.pair.local.to_wire());
  fold(entry.pair.remote.to_wire());
  fold(entry.detail);
  if (ring_.size() < kKept) {
    ring_.push_back(entry);
  } else {
    ring_[count_ % kKept] = entry;
  }
  ++count_;
}

std::string Story::diagram(const std::set<DeviceId>& who, std::size_t lines) const {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < ring_.size() && out.size() < lines; ++i) {
    const NoteEntry& entry = ring_[(count_ - 1 - i) % kKept];
    if (entry.note == Note::kTimer) continue;
    const bool global = entry.note == Note::kHealed || entry.note == Note::kController;
    const bool two = entry.note != Note::kDrawn && entry.note != Note::kErased &&
                     entry.note != Note::kPublish && entry.note != Note::kWelcome;
    const bool concerns = who.empty() || global ||
                          (who.contains(entry.a) &&
                           (!two || entry.a == entry.b || entry.b == 0 || who.contains(entry.b)));
    if (!concerns) continue;
    out.push_back("  " + time_text(entry.at) + "  " + line_of(entry) + "\n");
  }
  std::string text;
  for (auto it = out.rbegin(); it != out.rend(); ++it) text += *it;
  return text;
}

}  // namespace cygnet::sim
