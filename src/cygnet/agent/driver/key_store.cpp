// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/key_store.h"

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::agent {

KeyStore::Generation::Generation(std::vector<crypto::DhPrivate> privates,
                                 std::shared_ptr<std::atomic<int>> alive)
    : privates_(std::move(privates)), alive_(std::move(alive)) {
  alive_->fetch_add(static_cast<int>(privates_.size()));
}

KeyStore::Generation::~Generation() {
  const int count = static_cast<int>(privates_.size());
  privates_.clear();  // each DhPrivate zeroes itself
  alive_->fetch_sub(count);
}

const crypto::DhPrivate* KeyStore::Generation::find(crypto::DhGroup group) const {
  const auto it = std::find_if(privates_.begin(), privates_.end(),
                               [group](const crypto::DhPrivate& p) { return p.group() == group; });
  return it == privates_.end() ? nullptr : &*it;
}

void KeyStore::add(proto::RekeyCounter counter, std::vector<crypto::DhPrivate> privates) {
  const bool added =
      generations_.emplace(counter, std::make_shared<const Generation>(std::move(privates), alive_))
          .second;
  CYGNET_ASSERT(added);
  alive_max_ = std::max(alive_max_, alive());
}

KeyStore::Borrowed KeyStore::borrow(proto::RekeyCounter counter) const {
  const auto it = generations_.find(counter);
  return it == generations_.end() ? nullptr : it->second;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//# when a connection is closed each endpoint MUST forget not only the keys used by the connection
//# but also any information that could be used to recompute those keys.
bool KeyStore::erase(proto::RekeyCounter counter) { return generations_.erase(counter) != 0; }

void KeyStore::erase_all() { generations_.clear(); }

}  // namespace cygnet::agent
