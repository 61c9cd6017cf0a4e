// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A parsed message of a device, for the core's sources only: the generated header is heavy.

#include "cygnet/controller/core/core.h"
#include "cygnet/device/v1/device.pb.h"

namespace cygnet::controller {

namespace pb = cygnet::device::v1;

struct Core::Inbound {
  pb::FromDevice message;
};

}  // namespace cygnet::controller
