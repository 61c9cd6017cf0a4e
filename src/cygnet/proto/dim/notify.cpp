// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/dim/notify.h"

namespace cygnet::proto {

std::string notify_name(std::uint16_t type) {
  switch (type) {
    case notify::kInitialContact:
      return "INITIAL_CONTACT";
    case notify::kPpkIdentity:
      return "PPK_IDENTITY";
    case notify::kRekeyCounter:
      return "REKEY_COUNTER";
    case notify::kLanes:
      return "LANES";
    default:
      return "notify " + std::to_string(type);
  }
}

int notify_rank(std::uint16_t type) {
  switch (type) {
    case notify::kRekeyCounter:
      return 0;
    case notify::kInitialContact:
      return 1;
    case notify::kLanes:
      return 2;
    case notify::kPpkIdentity:
      return 3;
    default:
      return 4;
  }
}

}  // namespace cygnet::proto
