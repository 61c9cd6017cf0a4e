// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/store/write_batch.h"

namespace cygnet::controller::store {
namespace {

std::size_t size_of(const std::map<std::string, std::string>& labels) {
  std::size_t sum = 0;
  for (const auto& [key, value] : labels) sum += key.size() + value.size() + 64;
  return sum;
}

struct OctetsOf {
  std::size_t operator()(const PutSetting& op) const {
    return op.key.size() + op.value.value_or("").size();
  }
  std::size_t operator()(const PutDevice& op) const {
    return op.device.spki.size() + op.device.certificate.size() + size_of(op.device.labels);
  }
  std::size_t operator()(const PutDim& op) const {
    return op.dim.dim.size() + op.dim.certificate.size();
  }
  std::size_t operator()(const PutToken& op) const { return size_of(op.token.labels); }
  std::size_t operator()(const PutPolicy& op) const {
    return op.policy.yaml.size() + op.policy.header.comment.size();
  }
  std::size_t operator()(const PutCsr& op) const { return op.csr.csr.size(); }
  std::size_t operator()(const SetTrust& op) const {
    std::size_t sum = 0;
    for (const Bytes& each : op.trust) sum += each.size();
    return sum;
  }
  std::size_t operator()(const AppendAudit& op) const {
    return op.audit.who.size() + op.audit.object.size() + op.audit.before.size() +
           op.audit.after.size();
  }
  template <class Small>
  std::size_t operator()(const Small&) const {
    return 0;
  }
};

}  // namespace

std::size_t batch_size(const WriteBatch& batch) {
  std::size_t sum = sizeof(WriteBatch);
  for (const WriteOp& op : batch.ops) sum += sizeof(WriteOp) + std::visit(OctetsOf{}, op);
  return sum;
}

}  // namespace cygnet::controller::store
