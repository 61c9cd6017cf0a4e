// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The switches of rekey::Rules by name, so that they can be listed, asked for and counted.

#include <array>
#include <string_view>

#include "cygnet/proto/rekey/params.h"

namespace cygnet::explore {

struct NamedRule {
  std::string_view name;
  bool proto::rekey::Rules::*rule;
};

#define CYGNET_RULE(name) \
  NamedRule { #name, &proto::rekey::Rules::name }
inline constexpr std::array kRules{
    CYGNET_RULE(start),
    CYGNET_RULE(start_oldest),
    CYGNET_RULE(start_acknowledged),
    CYGNET_RULE(start_waits_for_mark),
    CYGNET_RULE(never_back),
    CYGNET_RULE(held),
    CYGNET_RULE(install_once),
    CYGNET_RULE(take_over),
    CYGNET_RULE(keep_left),
    CYGNET_RULE(dead_end),
    CYGNET_RULE(heard_newer),
    CYGNET_RULE(no_hole),
    CYGNET_RULE(roll_over_on_failure),
    CYGNET_RULE(retry_pending),
    CYGNET_RULE(install_before_publish),
    CYGNET_RULE(decision_needs_live),
    CYGNET_RULE(probe),
    CYGNET_RULE(probe_repeats),
    CYGNET_RULE(probe_answers),
    CYGNET_RULE(probe_roll_over),
    CYGNET_RULE(dormant),
    CYGNET_RULE(bound_local),
    CYGNET_RULE(third_waits_for_drain),
    CYGNET_RULE(bound_pairs),
    CYGNET_RULE(drain),
    CYGNET_RULE(rule3),
    CYGNET_RULE(rule4),
    CYGNET_RULE(forget),
    CYGNET_RULE(forget_cap),
    CYGNET_RULE(forget_after_accepted),
    CYGNET_RULE(derive_before_erase),
    CYGNET_RULE(hard_lifetime),
    CYGNET_RULE(soft_lifetime),
    CYGNET_RULE(restart_replaces),
    CYGNET_RULE(republish),
    CYGNET_RULE(own_dim_check),
    CYGNET_RULE(counter_check),
    CYGNET_RULE(equal_counter),
    CYGNET_RULE(bad_spi),
    CYGNET_RULE(removal_forgets),
    CYGNET_RULE(forget_after_all),
    CYGNET_RULE(publish_after_all),
    CYGNET_RULE(third_after_all),
    CYGNET_RULE(peers_apart),
};
#undef CYGNET_RULE
static_assert(kRules.size() == sizeof(proto::rekey::Rules), "a switch is missing here");

}  // namespace cygnet::explore
