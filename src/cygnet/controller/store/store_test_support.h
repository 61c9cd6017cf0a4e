// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the store's tests share: a directory of their own, waiting for completions, records.

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "cygnet/controller/store/open.h"
#include "cygnet/rt/test_directory.h"

namespace cygnet::controller::store {

inline constexpr std::chrono::seconds kDeadline{60};

using rt::test::TempDirectory;

/// Submits and gives the completion's status as a future.
inline std::future<Status> submit(Store& store, WriteBatch batch) {
  auto promise = std::make_shared<std::promise<Status>>();
  auto future = promise->get_future();
  store.submit(std::move(batch), [promise](Status status) { promise->set_value(status); });
  return future;
}

inline Status wait(std::future<Status> future) {
  if (future.wait_for(kDeadline) != std::future_status::ready) {
    return fail(ErrorCode("test-deadline"), "no completion came");
  }
  return future.get();
}

inline Status write(Store& store, WriteBatch batch) {
  return wait(submit(store, std::move(batch)));
}

inline std::string code_of(const Status& status) {
  return status ? "ok" : std::string(status.error().code.name());
}

inline MeshId mesh_id(std::uint8_t fill = 7) {
  MeshId id;
  id.fill(fill);
  return id;
}
inline ServerTime at_ms(std::int64_t ms) { return ServerTime(std::chrono::milliseconds(ms)); }
inline Sha256 hash_of(std::uint8_t fill) {
  Sha256 hash;
  hash.fill(fill);
  return hash;
}

inline WriteBatch batch(WriteOp op, const MeshId& mesh = mesh_id()) {
  WriteBatch out{mesh, {}};
  out.add(std::move(op));
  return out;
}
inline WriteBatch create_mesh(const MeshId& mesh = mesh_id(), const std::string& name = "corp") {
  return batch(CreateMesh{{mesh, name, {1, 2, 3}, at_ms(1000)}}, mesh);
}
inline DeviceRecord device(const std::string& name) {
  return {name,
          {{"role", "branch"}, {"odd", "a=b%\nc"}},
          Bytes{1, 2, 3},
          Bytes{4, 5},
          DeviceState::kActive,
          at_ms(5000)};
}
inline DimRecord dim(const std::string& name, std::uint32_t boot, std::uint32_t sequence,
                     std::uint64_t position) {
  return {
      name,    proto::RekeyCounter(boot, sequence), Bytes{9, 8, 7, 0, 6}, Bytes{4, 5}, at_ms(6000),
      position};
}
inline TokenRecord token(std::uint8_t fill, std::uint32_t uses = 1) {
  return {hash_of(fill), "store-1", {}, at_ms(100), at_ms(2000), uses, "admin"};
}

}  // namespace cygnet::controller::store
