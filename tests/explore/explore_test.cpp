// SPDX-License-Identifier: Apache-2.0

/// Exhausts every scenario of two devices on the production machines: S1–S6 at every step, L1–L4 on
/// the whole graph. A failure prints how to get there, in the draft's notation.

#include "case_test.h"

namespace cygnet::explore {
namespace {

class Explore : public ::testing::TestWithParam<Case> {};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# During a simultaneous rekey up to four pairs of IPsec SAs may be temporarily created, but the
//# four rules ensure that they converge on a single new set of IPsec SAs.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# Only when the new IPsec SAs have been installed and the device is prepared to receive on those
//# new SAs does it then distribute the new DH public value to the Controller
TEST_P(Explore, EveryInterleavingKeepsEveryProperty) { expect_everything_holds(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Scenarios, Explore, ::testing::ValuesIn(cases_of_two(false)),
                         name_of_case);

}  // namespace
}  // namespace cygnet::explore
