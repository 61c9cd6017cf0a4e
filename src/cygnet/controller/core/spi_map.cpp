// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/spi_map.h"

#include <algorithm>

#include "cygnet/proto/keymat/keymat.h"
#include "cygnet/proto/negotiate/negotiate.h"

namespace cygnet::controller {

std::optional<SpiMatch> find_inbound_spi(std::uint32_t spi,
                                         std::span<const proto::Dim* const> locals,
                                         std::span<const proto::Dim* const> remotes,
                                         std::size_t& budget) {
  for (std::size_t l = 0; l < locals.size(); ++l) {
    for (std::size_t r = 0; r < remotes.size(); ++r) {
      if (budget == 0) return std::nullopt;
      --budget;
      const auto agreement = proto::negotiate(*locals[l], *remotes[r]);
      if (!agreement) continue;
      const bool initiator = agreement->local_role == proto::Role::kInitiator;
      const Bytes& mine = locals[l]->nonce;
      const Bytes& other = remotes[r]->nonce;
      const proto::SpiInputs inputs{
          agreement->policy.prf, initiator ? mine : other, initiator ? other : mine,
          std::pair{agreement->spn_i, agreement->spn_r}, agreement->lanes};
      const auto spis = proto::derive_spis(inputs);
      if (!spis) continue;
      // "SPIi[k] is the inbound SPI of the device that gave Ni."
      const bool found = std::any_of(spis->begin(), spis->end(), [&](const proto::SpiPair& pair) {
        return (initiator ? pair.i : pair.r).value() == spi;
      });
      if (found) return SpiMatch{l, r};
    }
  }
  return std::nullopt;
}

}  // namespace cygnet::controller
