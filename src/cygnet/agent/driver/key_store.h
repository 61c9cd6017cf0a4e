// SPDX-License-Identifier: Apache-2.0
#pragma once

/// DH private values by generation (docs/protocol.md section 6, "Forgetting": "Erased means zeroed,
/// in key store and backend"). The only place of the agent that holds them; they never touch a
/// file. A derivation on a worker borrows a generation; when it is erased meanwhile, the private
/// values are zeroed as the last borrower returns, and count as alive until then.
///
/// add(), borrow(), erase() on the control thread; a Borrowed may be used and dropped on any
/// thread.

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/crypto/dh.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrKeyErased{"dh-private-erased"};

class KeyStore {
 public:
  /// Private values of one generation. Immutable; derive() of several threads at once is fine.
  class Generation {
   public:
    Generation(std::vector<crypto::DhPrivate> privates, std::shared_ptr<std::atomic<int>> alive);
    ~Generation();  ///< zeroes
    Generation(const Generation&) = delete;
    Generation& operator=(const Generation&) = delete;
    /// nullptr when the generation offers no such group.
    [[nodiscard]] const crypto::DhPrivate* find(crypto::DhGroup group) const;

   private:
    std::vector<crypto::DhPrivate> privates_;
    std::shared_ptr<std::atomic<int>> alive_;
  };
  using Borrowed = std::shared_ptr<const Generation>;

  /// Asserts that the counter is new: no generation gets a second set of keys.
  void add(proto::RekeyCounter counter, std::vector<crypto::DhPrivate> privates);
  /// nullptr once erased.
  [[nodiscard]] Borrowed borrow(proto::RekeyCounter counter) const;
  /// @return whether it was there: false for a second erase, or for a counter never added.
  [[nodiscard]] bool erase(proto::RekeyCounter counter);
  /// At the end of the process: everything goes.
  void erase_all();

  /// Private values in memory now, borrowed ones included; and the most there ever were.
  [[nodiscard]] std::size_t alive() const { return static_cast<std::size_t>(alive_->load()); }
  [[nodiscard]] std::size_t alive_max() const { return alive_max_; }
  [[nodiscard]] std::size_t generations() const { return generations_.size(); }

 private:
  std::shared_ptr<std::atomic<int>> alive_ = std::make_shared<std::atomic<int>>(0);
  std::size_t alive_max_ = 0;
  std::map<proto::RekeyCounter, Borrowed> generations_;
};

}  // namespace cygnet::agent
