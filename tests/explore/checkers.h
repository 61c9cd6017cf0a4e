// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One function a property of docs/protocol.md section 6. S properties are judged in a state or at
/// a step, L properties over the whole graph by the explorer, which needs to know what "settled"
/// means.

#include <optional>
#include <string>

#include "world.h"

namespace cygnet::explore {

/// S1: no packet is sent on an SA its receiver lacks, except while nothing is live towards that
/// peer, or it has lost its state or removed us and not yet said so.
[[nodiscard]] std::optional<Violation> check_s1(const World& world, std::size_t receiver,
                                                std::size_t sender, const Packet& packet);
/// Start: while nothing is live and nothing chosen, transmit only after the mark or the wait, and
/// not on a younger generation than the peer is known to have; never return to an older one.
[[nodiscard]] std::optional<Violation> check_start(const Scenario& scenario, const World& world,
                                                   std::size_t sender, std::size_t receiver,
                                                   std::optional<SaPairId> next);
/// Lifetimes: no SA outlives its hard lifetime; a removed peer keeps none.
[[nodiscard]] std::optional<Violation> check_lifetimes(const Scenario& scenario,
                                                       const World& world);
/// S2: both ends of an SA hold equal keys; no (key, IV) pair is ever used twice. Asked when a pair
/// is about to be installed and when a DH pair is drawn.
[[nodiscard]] std::optional<Violation> check_s2_install(const Device& device,
                                                        const Towards& towards, SaPairId pair);
[[nodiscard]] std::optional<Violation> check_s2_draw(const Device& device, RekeyCounter counter);
/// S3: SA pairs per peer never exceed the named bound.
[[nodiscard]] std::optional<Violation> check_s3(const Scenario& scenario, const World& world);
/// Take-over: a DIM counts as received as soon as all its pairs are there, whatever other peers
/// wait for; a pending one is tried again whenever a local generation comes.
[[nodiscard]] std::optional<Violation> check_take_over(const World& world);
[[nodiscard]] std::optional<Violation> check_retry(const Device& device, std::size_t k,
                                                   const rekey::PeerStatus& before,
                                                   const rekey::Effects& effects);
/// Asked before the effects are carried out. S4: a private value goes when no SA of any peer needs
/// it, at the cap, or for a third generation. Bounds: that one waits until nobody attached misses
/// the second. Apart: what comes of one peer chooses nothing towards another.
[[nodiscard]] std::optional<Violation> check_effects(const World& world, std::size_t i,
                                                     const rekey::Event& event,
                                                     const rekey::Effects& effects);
/// S4: a private value outlives its generation by no more than the cap, is erased exactly once, and
/// not while peers may still be given its DIM.
[[nodiscard]] std::optional<Violation> check_s4_erase(const World& world, std::size_t i,
                                                      RekeyCounter counter);
[[nodiscard]] std::optional<Violation> check_s4(const Scenario& scenario, const World& world);
/// S5: a stale or replayed DIM changes nothing.
[[nodiscard]] std::optional<Violation> check_s5(const World& world);
/// S6: a DIM is published only after every inbound SA it promises is installed. Published again it
/// promises nothing new: a DIM of a peer that came since counts only when it is received.
[[nodiscard]] std::optional<Violation> check_s6(const World& world, std::size_t i,
                                                RekeyCounter counter);

/// L1, L2, L4: both ends of every pair of peers on newest × newest with one SA pair, one private
/// value a device, nothing pending.
[[nodiscard]] bool is_settled(const World& world);
/// L2: nothing old is kept towards a peer, nor a timer but the hard lifetime, whether it
/// can be reached or not.
[[nodiscard]] bool keeps_nothing_old(const Scenario& scenario, const World& world);
/// L3: what either end transmits on, the other has.
[[nodiscard]] bool carries_traffic(const World& world);

/// The S checks of a whole state.
[[nodiscard]] std::optional<Violation> check_state(const Scenario& scenario, const World& world);

}  // namespace cygnet::explore
