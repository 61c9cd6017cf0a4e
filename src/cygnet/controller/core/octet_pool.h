// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Room for messages that is used again: tens of thousands a second, each of tens of kilobytes,
/// keep an allocator busy that has to find and join such pieces. What is handed out may outlive the
/// pool. Pure; a value owned by one thread, which is also where the octets are dropped.

#include <memory>
#include <utility>
#include <vector>

#include "cygnet/controller/core/values.h"

namespace cygnet::controller {

class OctetPool {
 public:
  /// Octets that `fill(Bytes&)` writes, which begins empty.
  template <class Fill>
  [[nodiscard]] SharedOctets make(Fill fill) {
    std::unique_ptr<Bytes> octets;
    if (spare_->empty()) {
      octets = std::make_unique<Bytes>();
    } else {
      octets = std::move(spare_->back());
      spare_->pop_back();
      octets->clear();
    }
    fill(*octets);
    return std::shared_ptr<Bytes>(octets.release(), GiveBack{spare_});
  }
  [[nodiscard]] std::size_t spare() const { return spare_->size(); }

  static constexpr std::size_t kSpareMax = 128;
  static constexpr std::size_t kOctetsMax = 65536;  ///< larger pieces are not kept

 private:
  using Spare = std::vector<std::unique_ptr<Bytes>>;
  struct GiveBack {
    std::weak_ptr<Spare> pool;
    void operator()(Bytes* octets) const {
      std::unique_ptr<Bytes> done(octets);
      const auto spare = pool.lock();
      if (!spare || spare->size() >= kSpareMax || done->capacity() > kOctetsMax) return;
      spare->push_back(std::move(done));
    }
  };
  std::shared_ptr<Spare> spare_ = std::make_shared<Spare>();
};

}  // namespace cygnet::controller
