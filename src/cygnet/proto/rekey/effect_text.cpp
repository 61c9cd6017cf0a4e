// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/rekey/effect_text.h"

namespace cygnet::proto::rekey {
namespace {

char letter_of(const GenerationNames& names, PeerId peer) {
  const auto it = names.peers.find(peer);
  return it == names.peers.end() ? '?' : it->second;
}

class Printer {
 public:
  explicit Printer(const GenerationNames& names) : names_(names) {}

  std::string operator()(const StoreBootCount& e) const {
    return "store boot count " + std::to_string(e.boot_count);
  }
  std::string operator()(const GenerateDhPair& e) const { return "generate " + own(e.counter); }
  std::string operator()(const InstallSaPair& e) const {
    return "install " + tx(e.peer, e.pair) + " " + rx(e.peer, e.pair);
  }
  std::string operator()(const ChooseOutbound& e) const {
    return e.pair ? "transmit on " + tx(e.peer, *e.pair) : std::string("transmit on nothing");
  }
  std::string operator()(const RemoveOutbound& e) const { return "remove " + tx(e.peer, e.pair); }
  std::string operator()(const RemoveInbound& e) const { return "remove " + rx(e.peer, e.pair); }
  std::string operator()(const PublishGeneration& e) const {
    return "publish " + own(e.counter) + (e.initial_contact ? " [IC]" : "");
  }
  std::string operator()(const EraseDhPair& e) const { return "erase " + own(e.counter); }
  std::string operator()(const SendProbe& e) const { return "probe on " + tx(e.peer, e.pair); }
  std::string operator()(const AnswerProbe& e) const {
    return "answer probe on " + tx(e.peer, e.pair);
  }
  std::string operator()(const AcknowledgeDim& e) const {
    return "acknowledge " + remote(e.peer, e.counter) + ": " + std::string(to_string(e.outcome));
  }
  std::string operator()(const DeriveNow& e) const { return "derive " + tx(e.peer, e.pair); }
  std::string operator()(const ReportToController& e) const {
    std::string text = "report " + std::string(to_string(e.code));
    if (e.pair && e.peer) text += " " + tx(*e.peer, *e.pair);
    if (e.counter) text += " " + own(*e.counter);
    return text;
  }
  std::string operator()(const Observe& e) const {
    switch (e.what) {
      case Observed::kGenerationStarted:
        return "· starts " + own(*e.counter) + cause(e);
      case Observed::kGenerationInstalled:
        return "· " + own(*e.counter) + " is installed for every peer";
      case Observed::kGenerationAccepted:
        return "· " + own(*e.counter) + " is accepted";
      case Observed::kGenerationRedrawn:
        return "· gives up " + own(*e.counter) + " unpublished";
      case Observed::kRekeyDeferred:
        return "· rekey waits" + cause(e);
      case Observed::kDhErased:
        return "· the private value of " + own(*e.counter) + " is gone";
      case Observed::kDimTaken:
        return "· takes " + remote(*e.peer, *e.counter);
      case Observed::kDimComplete:
        return "· " + remote(*e.peer, *e.counter) + " counts as received";
      case Observed::kDimPending:
        return "· " + remote(*e.peer, *e.counter) + " is pending";
      case Observed::kPeerRestarted:
        return "· peer restarted with " + remote(*e.peer, *e.counter);
      case Observed::kLive:
        return "· " + own(*e.counter) + " is live";
      case Observed::kConfirmed:
        return "· " + tx(*e.peer, *e.pair) + " is confirmed";
      case Observed::kOutboundChanged:
        return "· outbound " + (e.from ? tx(*e.peer, *e.from) : std::string("none")) + " -> " +
               (e.pair ? tx(*e.peer, *e.pair) : std::string("none")) + " @" + std::string(1, e.row);
      case Observed::kPairDraining:
        return "· " + rx(*e.peer, *e.pair) + " drains";
      case Observed::kPairGone:
        return "· " + rx(*e.peer, *e.pair) + " is gone";
      case Observed::kDormant:
        return std::string("· peer ") + letter_of(names_, *e.peer) + " is dormant";
      case Observed::kAwake:
        return std::string("· peer ") + letter_of(names_, *e.peer) + " is awake";
    }
    return {};
  }

 private:
  [[nodiscard]] std::string own(RekeyCounter counter) const { return name_of(names_.own, counter); }
  [[nodiscard]] std::string remote(PeerId peer, RekeyCounter counter) const {
    return name_of(letter_of(names_, peer), counter);
  }
  [[nodiscard]] std::string tx(PeerId peer, SaPairId pair) const {
    return tx_name(names_, peer, pair);
  }
  [[nodiscard]] std::string rx(PeerId peer, SaPairId pair) const {
    return rx_name(names_, peer, pair);
  }
  [[nodiscard]] static std::string cause(const Observe& e) {
    return e.cause ? " (" + std::string(to_string(*e.cause)) + ")" : std::string();
  }

  const GenerationNames& names_;
};

}  // namespace

std::string name_of(char letter, RekeyCounter counter) {
  std::string name(1, letter);
  if (counter.boot_count() > 1) name += std::to_string(counter.boot_count()) + ".";
  return name + std::to_string(counter.sequence());
}

std::string tx_name(const GenerationNames& names, PeerId peer, SaPairId pair) {
  return "Tx(" + name_of(names.own, pair.local) + "-" +
         name_of(letter_of(names, peer), pair.remote) + ")";
}

std::string rx_name(const GenerationNames& names, PeerId peer, SaPairId pair) {
  return "Rx(" + name_of(letter_of(names, peer), pair.remote) + "-" +
         name_of(names.own, pair.local) + ")";
}

std::string to_text(const Effect& effect, const GenerationNames& names) {
  return std::visit(Printer(names), effect) + "\n";
}

std::string to_text(const Effects& effects, const GenerationNames& names, bool observations) {
  std::string text;
  for (const Effect& effect : effects.list) {
    if (!observations && std::holds_alternative<Observe>(effect)) continue;
    text += to_text(effect, names);
  }
  return text;
}

std::string_view to_string(Rejected rejected) {
  switch (rejected) {
    case Rejected::kNotStarted:
      return "not started";
    case Rejected::kAlreadyStarted:
      return "already started";
    case Rejected::kUnknownPeer:
      return "unknown peer";
    case Rejected::kUnknownPair:
      return "unknown pair";
    case Rejected::kUnknownGeneration:
      return "unknown generation";
    case Rejected::kWrongPhase:
      return "wrong phase";
    case Rejected::kStaleCounter:
      return "stale counter";
    case Rejected::kInitialContact:
      return "initial contact";
    case Rejected::kPaused:
      return "paused";
    case Rejected::kNothingDue:
      return "nothing due";
    case Rejected::kAlreadyThere:
      return "already there";
  }
  return "?";
}

std::string_view to_string(RekeyCause cause) {
  switch (cause) {
    case RekeyCause::kInitial:
      return "initial";
    case RekeyCause::kCommand:
      return "command";
    case RekeyCause::kLifetime:
      return "lifetime";
    case RekeyCause::kPackets:
      return "packets";
    case RekeyCause::kPolicyChanged:
      return "policy-changed";
    case RekeyCause::kInstallFailed:
      return "install-failed";
    case RekeyCause::kInstallOnce:
      return "install-once";
    case RekeyCause::kCountersUnknown:
      return "counters-unknown";
    case RekeyCause::kBadSpi:
      return "bad-spi";
    case RekeyCause::kOwnDimNewer:
      return "own-dim-newer";
  }
  return "?";
}

std::string_view to_string(DimOutcome outcome) {
  switch (outcome) {
    case DimOutcome::kInstalled:
      return "installed";
    case DimOutcome::kRefused:
      return "refused";
    case DimOutcome::kPending:
      return "pending";
  }
  return "?";
}

std::string_view to_string(ReportCode code) {
  switch (code) {
    case ReportCode::kNoProposal:
      return "no-proposal";
    case ReportCode::kInstallFailed:
      return "install-failed";
    case ReportCode::kGenerationFailed:
      return "generation-failed";
    case ReportCode::kOwnDimNewer:
      return "own-dim-newer";
  }
  return "?";
}

}  // namespace cygnet::proto::rekey
