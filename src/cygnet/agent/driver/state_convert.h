// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Between the agent's values and the messages of state.proto. Values that a file may not hold are
/// refused by name, as if the file were damaged. Pure. Include in .cpp files only.

#include "cygnet/agent/driver/state_dir.h"
#include "cygnet/agent/v1/state.pb.h"

namespace cygnet::agent {

namespace pb = ::cygnet::agent::v1;

[[nodiscard]] pb::MeshState to_message(const MeshRecord& mesh);
[[nodiscard]] pb::DeviceState to_message(const DeviceRecord& device);
[[nodiscard]] pb::PinsState to_message(const Pins& pins);
[[nodiscard]] pb::RevocationsState to_message(const Revocations& revocations);
[[nodiscard]] pb::PeersState to_message(const StoredTable& table);

// @retval kErrStateCorrupt
[[nodiscard]] Result<MeshRecord> mesh_from(const pb::MeshState& message);
[[nodiscard]] DeviceRecord device_from(const pb::DeviceState& message);
[[nodiscard]] Result<Pins> pins_from(const pb::PinsState& message);
[[nodiscard]] Result<Revocations> revocations_from(const pb::RevocationsState& message);
[[nodiscard]] Result<StoredTable> table_from(const pb::PeersState& message);

}  // namespace cygnet::agent
