// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Effects and observations as short lines in the draft's notation, `Tx(a2-b1)`: for transcripts,
/// explorer traces, tests and logs. Pure.

#include <map>
#include <string>
#include <string_view>

#include "cygnet/proto/rekey/effects.h"

namespace cygnet::proto::rekey {

/// The letters of the figures: this device, and its peers. A generation prints as its letter and
/// its sequence; a boot count above 1 comes before, "a2.1".
struct GenerationNames {
  char own = 'a';
  std::map<PeerId, char> peers;
};

[[nodiscard]] std::string name_of(char letter, RekeyCounter counter);
[[nodiscard]] std::string tx_name(const GenerationNames& names, PeerId peer, SaPairId pair);
[[nodiscard]] std::string rx_name(const GenerationNames& names, PeerId peer, SaPairId pair);

/// One line, with its end.
[[nodiscard]] std::string to_text(const Effect& effect, const GenerationNames& names);
/// A line an effect; observations on request.
[[nodiscard]] std::string to_text(const Effects& effects, const GenerationNames& names,
                                  bool observations);

[[nodiscard]] std::string_view to_string(Rejected rejected);
[[nodiscard]] std::string_view to_string(RekeyCause cause);
[[nodiscard]] std::string_view to_string(DimOutcome outcome);
[[nodiscard]] std::string_view to_string(ReportCode code);

}  // namespace cygnet::proto::rekey
