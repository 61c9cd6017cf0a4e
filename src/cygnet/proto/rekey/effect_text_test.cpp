// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/rekey/effect_text.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cygnet::proto::rekey {
namespace {

// The device is a; its peer 7 is b, and peer 9 has no letter. Generations a2 and b3; b was
// restarted.
const PeerId kB{7}, kStranger{9};
const RekeyCounter kA2(1, 2), kB3(2, 3);
const SaPairId kPair{kA2, kB3};
const GenerationNames kNames{'a', {{kB, 'b'}}};

std::string text(const Effect& effect) { return to_text(effect, kNames); }

Observe seen(Observed what) { return {what, kB, kPair, {}, kA2, {}, 0}; }

TEST(EffectText, SpellsWhatTheDriverIsAskedFor) {
  const std::vector<std::pair<Effect, std::string>> lines{
      {StoreBootCount{4}, "store boot count 4\n"},
      {GenerateDhPair{kA2}, "generate a2\n"},
      {InstallSaPair{kB, kPair}, "install Tx(a2-b2.3) Rx(b2.3-a2)\n"},
      {ChooseOutbound{kB, kPair}, "transmit on Tx(a2-b2.3)\n"},
      {ChooseOutbound{kB, std::nullopt}, "transmit on nothing\n"},
      {RemoveOutbound{kB, kPair}, "remove Tx(a2-b2.3)\n"},
      {RemoveInbound{kB, kPair}, "remove Rx(b2.3-a2)\n"},
      {PublishGeneration{kA2, false}, "publish a2\n"},
      {PublishGeneration{kA2, true}, "publish a2 [IC]\n"},
      {EraseDhPair{kA2}, "erase a2\n"},
      {SendProbe{kB, kPair}, "probe on Tx(a2-b2.3)\n"},
      {AnswerProbe{kB, kPair}, "answer probe on Tx(a2-b2.3)\n"},
      {AcknowledgeDim{kB, kB3, DimOutcome::kInstalled}, "acknowledge b2.3: installed\n"},
      {AcknowledgeDim{kB, kB3, DimOutcome::kRefused}, "acknowledge b2.3: refused\n"},
      {AcknowledgeDim{kB, kB3, DimOutcome::kPending}, "acknowledge b2.3: pending\n"},
      {DeriveNow{kB, kPair}, "derive Tx(a2-b2.3)\n"},
      {ReportToController{ReportCode::kNoProposal, kB, kPair, {}},
       "report no-proposal Tx(a2-b2.3)\n"},
      {ReportToController{ReportCode::kInstallFailed, kB, kPair, {}},
       "report install-failed Tx(a2-b2.3)\n"},
      {ReportToController{ReportCode::kGenerationFailed, {}, {}, kA2},
       "report generation-failed a2\n"},
      {ReportToController{ReportCode::kOwnDimNewer, {}, {}, kA2}, "report own-dim-newer a2\n"},
  };
  for (const auto& [effect, line] : lines) EXPECT_EQ(text(effect), line);
  EXPECT_EQ(text(SendProbe{kStranger, kPair}), "probe on Tx(a2-?2.3)\n");
}

TEST(EffectText, SpellsWhatWasObserved) {
  Observe taken = seen(Observed::kDimTaken), complete = seen(Observed::kDimComplete),
          pending = seen(Observed::kDimPending), restarted = seen(Observed::kPeerRestarted);
  for (Observe* of_peer : {&taken, &complete, &pending, &restarted}) of_peer->counter = kB3;
  Observe started = seen(Observed::kGenerationStarted), deferred = seen(Observed::kRekeyDeferred);
  started.cause = RekeyCause::kLifetime;
  Observe changed = seen(Observed::kOutboundChanged);
  changed.from = SaPairId{RekeyCounter(1, 1), kB3};
  changed.row = 'C';
  Observe first = changed, last = changed;
  first.from.reset();
  last.pair.reset();
  const std::vector<std::pair<Observe, std::string>> lines{
      {started, "· starts a2 (lifetime)\n"},
      {seen(Observed::kGenerationInstalled), "· a2 is installed for every peer\n"},
      {seen(Observed::kGenerationAccepted), "· a2 is accepted\n"},
      {seen(Observed::kGenerationRedrawn), "· gives up a2 unpublished\n"},
      {deferred, "· rekey waits\n"},
      {seen(Observed::kDhErased), "· the private value of a2 is gone\n"},
      {taken, "· takes b2.3\n"},
      {complete, "· b2.3 counts as received\n"},
      {pending, "· b2.3 is pending\n"},
      {restarted, "· peer restarted with b2.3\n"},
      {seen(Observed::kLive), "· a2 is live\n"},
      {seen(Observed::kConfirmed), "· Tx(a2-b2.3) is confirmed\n"},
      {changed, "· outbound Tx(a1-b2.3) -> Tx(a2-b2.3) @C\n"},
      {first, "· outbound none -> Tx(a2-b2.3) @C\n"},
      {last, "· outbound Tx(a1-b2.3) -> none @C\n"},
      {seen(Observed::kPairDraining), "· Rx(b2.3-a2) drains\n"},
      {seen(Observed::kPairGone), "· Rx(b2.3-a2) is gone\n"},
      {seen(Observed::kDormant), "· peer b is dormant\n"},
      {seen(Observed::kAwake), "· peer b is awake\n"},
  };
  for (const auto& [effect, line] : lines) EXPECT_EQ(text(effect), line);
}

TEST(EffectText, ShowsObservationsOnRequestOnly) {
  const Effects effects{{EraseDhPair{kA2}, seen(Observed::kDhErased)}, {}};
  EXPECT_EQ(to_text(effects, kNames, false), "erase a2\n");
  EXPECT_EQ(to_text(effects, kNames, true), "erase a2\n· the private value of a2 is gone\n");
}

/// Every enumerator up to the last has a name, and no two have the same.
template <class Enum>
void expect_distinct_names(Enum last) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    const std::string name(to_string(static_cast<Enum>(i)));
    EXPECT_NE(name, "?");
    EXPECT_TRUE(names.insert(name).second) << name << " is said of two things";
  }
  EXPECT_EQ(to_string(static_cast<Enum>(static_cast<int>(last) + 1)), "?");
}

TEST(EffectText, EveryRefusalCauseOutcomeAndReportHasANameOfItsOwn) {
  expect_distinct_names(Rejected::kAlreadyThere);
  expect_distinct_names(RekeyCause::kOwnDimNewer);
  expect_distinct_names(DimOutcome::kPending);
  expect_distinct_names(ReportCode::kOwnDimNewer);
}

}  // namespace
}  // namespace cygnet::proto::rekey
