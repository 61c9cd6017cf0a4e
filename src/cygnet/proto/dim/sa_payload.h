// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The SA payload of a DIM: ordered ESP proposals (RFC 7296 section 3.3; draft A.3.1;
/// docs/protocol.md section 3). Pure.

#include "cygnet/proto/dim/dim.h"

namespace cygnet::proto {

/// @param body    what follows the SA payload's header
/// @param offset  of the SA payload, for the refusal's `where`
/// @retval kErrDimForm (dim_codec.h)
[[nodiscard]] Result<std::vector<Proposal>> decode_sa(ByteView body, std::size_t offset);

/// Writes the proposals as they stand, without judging them; encode_dim decodes its own output.
[[nodiscard]] Bytes encode_sa(const std::vector<Proposal>& proposals);

/// Same protocol (always ESP) and same set of (type, id, attributes): the equality negotiation and
/// the duplicate rule use. Proposal numbers do not count.
[[nodiscard]] bool same_transforms(const Proposal& a, const Proposal& b);

/// The distinct KE groups the proposals name, in order of first use; KE payloads follow it.
[[nodiscard]] std::vector<std::uint16_t> groups_in_order(const std::vector<Proposal>& proposals);

/// Whether a proposal that we could choose names this group: only then is its KE value checked.
[[nodiscard]] bool group_is_usable(const std::vector<Proposal>& proposals, std::uint16_t group);

}  // namespace cygnet::proto
