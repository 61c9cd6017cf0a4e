// SPDX-License-Identifier: Apache-2.0

/// RekeyCore under events in any order, kept to by a driver that owes what rekey_core.h says and
/// nothing else: late, repeated and contradictory events included. No assertion of the machines
/// may fail, a refused event changes nothing, and what they ask for is consistent.

#include <map>
#include <set>

#include "cygnet/proto/rekey/rekey_core.h"
#include "fuzz.h"

using namespace cygnet;
using namespace cygnet::proto;
using namespace cygnet::proto::rekey;

namespace {

using PairOf = std::pair<PeerId, SaPairId>;

class Driver {
 public:
  explicit Driver(ByteView octets) : in_(octets) {}

  void run() {
    feed(Start{1, 0, true});
    while (!in_.empty()) step();
  }

 private:
  PeerId peer() { return PeerId(1 + static_cast<std::uint32_t>(in_.below(3))); }
  PairOf any(const std::set<PairOf>& pairs) {
    if (pairs.empty() || in_.below(16) == 15) {
      return {peer(), SaPairId{RekeyCounter(1, in_.u8()), RekeyCounter(1, in_.u8())}};
    }
    auto it = pairs.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(in_.below(pairs.size())));
    return *it;
  }
  RekeyCounter own_counter() {
    const auto& own = core_.generations();
    if (own.empty() || in_.below(8) == 7) return RekeyCounter(in_.u8() % 4, in_.u8());
    return own[in_.below(own.size())].counter;
  }

  void step() {
    switch (in_.u8() % 24) {
      case 0:
        return pass(Duration(std::chrono::milliseconds(in_.u16())));
      case 1:
      case 2:
        if (const auto due = core_.next_deadline(); due && *due > now_) now_ = *due;
        return feed(TimePassed{});
      case 3:
        return feed(GenerationReady{own_counter(), in_.u32()});
      case 4:
        return feed(GenerationFailed{own_counter()});
      case 5:
      case 6:
        return feed(PublishAccepted{own_counter(), now_ - std::chrono::milliseconds(in_.u8())});
      case 7: {
        PublishRefused refused{own_counter(), static_cast<PublishRefusal>(in_.below(3)), {}};
        if (refused.why == PublishRefusal::kStale) refused.stored = stored();
        return feed(refused);
      }
      case 8:
        return feed(LinkUp{});
      case 9:
        return feed(LinkDown{});
      case 10: {
        OwnDimReported own{static_cast<OwnDimVerdict>(in_.below(4)), own_counter(), now_};
        if (own.verdict == OwnDimVerdict::kStoredNewer) own.stored = stored();
        return feed(own);
      }
      case 11: {
        DeliveryMark mark{own_counter(),
                          {},
                          static_cast<std::uint32_t>(in_.below(2)),
                          static_cast<std::uint32_t>(in_.below(2))};
        for (std::size_t n = in_.below(3); n > 0; --n) mark.acknowledged.push_back(peer());
        return feed(mark);
      }
      case 12:
        return feed(PeerAdded{peer(), {}});
      case 13:
        return feed(PeerRemoved{peer()});
      case 14:
      case 15: {
        const PeerId from = peer();
        auto& newest = dims_[from];
        const std::uint8_t how = in_.u8();
        RekeyCounter counter = newest;
        bool contact = false;
        if (how % 4 == 0) {
          counter = RekeyCounter(newest.boot_count() + 1, newest.sequence() + 1);
          contact = (how & 4) != 0;
        } else if (how % 4 == 1) {
          counter = RekeyCounter(newest.boot_count(), newest.sequence() + 1);
        } else if (how % 4 == 2) {
          counter = RekeyCounter(in_.u8() % 4, 1 + in_.u8() % 8);
        }
        if (newest < counter) newest = counter;
        return feed(PeerDim{from, counter, contact, now_ - std::chrono::milliseconds(in_.u8())});
      }
      case 16:
      case 17: {
        const PairOf pair = any(asked_);
        return feed(SaPairInstalled{pair.first, pair.second});
      }
      case 18: {
        const PairOf pair = any(asked_);
        return feed(
            SaPairFailed{pair.first, pair.second, static_cast<InstallFailure>(in_.below(3))});
      }
      case 19: {
        const PairOf pair = any(installed_);
        return feed(InboundEvidence{pair.first, pair.second, static_cast<Evidence>(in_.below(3))});
      }
      case 20: {
        const PairOf pair = any(installed_);
        return feed(ProbeRequested{pair.first, pair.second});
      }
      case 21: {
        const PairOf pair = any(installed_);
        if (in_.flag()) return feed(SaPairLost{pair.first, pair.second});
        return feed(SoftLimit{pair.first, pair.second});
      }
      case 22:
        return feed(RekeyRequired{static_cast<RekeyCause>(in_.below(10))});
      default:
        switch (in_.below(4)) {
          case 0:
            return feed(UserTraffic{peer()});
          case 1:
            return feed(PacketWaiting{peer()});
          case 2:
            return feed(MissingNewest{peer()});
          default:
            return feed(CountersUnknown{});
        }
    }
  }
  RekeyCounter stored() { return RekeyCounter(1 + in_.u8() % 3, 1 + in_.u8() % 16); }
  void pass(Duration by) {
    now_ += by;
    if (const auto due = core_.next_deadline(); due && now_ >= *due) feed(TimePassed{});
  }

  void feed(const Event& event) {
    const RekeyCore before = core_;
    const Effects effects = core_.handle(event, now_);
    if (effects.rejected) {
      FUZZ_REQUIRE(effects.list.empty());
      FUZZ_REQUIRE(core_ == before);
      return;
    }
    settle_answer(event);
    for (const Effect& effect : effects.list) {
      std::visit([this](const auto& e) { carry_out(e); }, effect);
    }
    const Counts counts = core_.counts();
    FUZZ_REQUIRE(counts.dh_private_alive <= 2);
    FUZZ_REQUIRE(counts.dh_private_alive == privates_.size());
    FUZZ_REQUIRE(counts.sa_pairs_per_peer_max <= core_.params().pairs_max);
    if (std::holds_alternative<TimePassed>(event)) {
      // What was due is done, or a driver would never sleep again.
      const auto due = core_.next_deadline();
      busy_ = due && *due <= now_ ? busy_ + 1 : 0;
      FUZZ_REQUIRE(busy_ < 8);
    }
  }

  /// An accepted answer: what it was the answer to.
  void settle_answer(const Event& event) {
    if (const auto* ready = std::get_if<GenerationReady>(&event)) {
      FUZZ_REQUIRE(drawing_.erase(ready->counter) == 1);
      FUZZ_REQUIRE(privates_.insert(ready->counter).second);
      FUZZ_REQUIRE(ever_.insert(ready->counter).second);
    } else if (const auto* failed = std::get_if<GenerationFailed>(&event)) {
      FUZZ_REQUIRE(drawing_.erase(failed->counter) == 1);
    } else if (const auto* there = std::get_if<SaPairInstalled>(&event)) {
      FUZZ_REQUIRE(asked_.erase({there->peer, there->pair}) == 1);
      installed_.insert({there->peer, there->pair});
      outbound_.insert({there->peer, there->pair});
    } else if (const auto* not_there = std::get_if<SaPairFailed>(&event)) {
      FUZZ_REQUIRE(asked_.erase({not_there->peer, not_there->pair}) == 1);
      FUZZ_REQUIRE(used_.erase({not_there->peer, not_there->pair}) == 1);
    }
  }

  void carry_out(const StoreBootCount&) {}
  void carry_out(const GenerateDhPair& e) {
    FUZZ_REQUIRE(!ever_.contains(e.counter));
    drawing_.insert(e.counter);
  }
  void carry_out(const InstallSaPair& e) {
    FUZZ_REQUIRE(privates_.contains(e.pair.local));
    FUZZ_REQUIRE(used_.insert({e.peer, e.pair}).second);  // Install once
    asked_.insert({e.peer, e.pair});
  }
  void carry_out(const ChooseOutbound& e) {
    if (e.pair) FUZZ_REQUIRE(outbound_.contains({e.peer, *e.pair}));
    choice_[e.peer] = e.pair;
  }
  void carry_out(const RemoveOutbound& e) {
    FUZZ_REQUIRE(choice_[e.peer] != e.pair);
    outbound_.erase({e.peer, e.pair});
  }
  void carry_out(const RemoveInbound& e) {
    FUZZ_REQUIRE(asked_.erase({e.peer, e.pair}) + installed_.erase({e.peer, e.pair}) == 1);
    FUZZ_REQUIRE(!outbound_.contains({e.peer, e.pair}));
  }
  void carry_out(const PublishGeneration& e) {
    FUZZ_REQUIRE(privates_.contains(e.counter));
    if (!published_.insert(e.counter).second) return;
    for (const auto& [of, pair] : asked_) FUZZ_REQUIRE(pair.local != e.counter);  // S6
  }
  void carry_out(const EraseDhPair& e) { FUZZ_REQUIRE(privates_.erase(e.counter) == 1); }
  void carry_out(const SendProbe& e) { FUZZ_REQUIRE(choice_[e.peer] == e.pair); }
  void carry_out(const AnswerProbe& e) { FUZZ_REQUIRE(choice_[e.peer] == e.pair); }
  void carry_out(const AcknowledgeDim&) {}
  void carry_out(const DeriveNow& e) {
    FUZZ_REQUIRE(installed_.contains({e.peer, e.pair}) && privates_.contains(e.pair.local));
  }
  void carry_out(const ReportToController&) {}
  void carry_out(const Observe&) {}

  fuzz::Input in_;
  RekeyCore core_;
  Timestamp now_{};
  std::set<PairOf> asked_, installed_, outbound_;
  std::set<PairOf> used_;  ///< asked for, and not answered with a failure
  std::set<RekeyCounter> drawing_, privates_, ever_, published_;
  std::map<PeerId, std::optional<SaPairId>> choice_;
  std::map<PeerId, RekeyCounter> dims_;
  int busy_ = 0;
};

}  // namespace

FUZZ_TARGET(rekey_events) { Driver(octets).run(); }
