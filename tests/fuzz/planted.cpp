// SPDX-License-Identifier: Apache-2.0

/// A target with a planted bug, so that a test can see the replay driver report one.

#include "fuzz.h"

FUZZ_TARGET(planted) { FUZZ_REQUIRE(octets.size() < 3 || octets[0] != 'b' || octets[1] != 'u'); }
