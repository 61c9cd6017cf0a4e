// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/store/refusals.h"

#include <algorithm>

#include "cygnet/base/bytes.h"
#include "cygnet/base/in_quotes.h"
#include "cygnet/controller/store/engine.h"

namespace cygnet::controller::store {

Error mesh_exists(const MeshId& mesh) {
  return {kErrStoreConflict, "the mesh " + to_hex(mesh) + " exists already"};
}
Error mesh_unknown(const MeshId& mesh) {
  return {kErrStoreNotFound, "there is no mesh " + to_hex(mesh)};
}
Error device_unknown(const std::string& name) {
  return {kErrStoreNotFound, "there is no device " + in_quotes(name)};
}
Error position_stale(std::uint64_t offered, std::uint64_t stored) {
  return {kErrStoreConflict, "position " + std::to_string(offered) +
                                 " does not come after the log's " + std::to_string(stored)};
}
Error counter_stale(const std::string& device, proto::RekeyCounter offered,
                    proto::RekeyCounter stored) {
  return {kErrStoreConflict, "counter " + proto::to_string(offered) + " of " + in_quotes(device) +
                                 " does not come after " + proto::to_string(stored)};
}
Error token_exists() { return {kErrStoreConflict, "this token exists already"}; }
Error token_unknown() {
  return {kErrTokenUnknown, "this join token is not known", {}, "make one: cygnet token create"};
}
Error token_expired() {
  return {kErrTokenExpired, "this join token has expired", {}, "make one: cygnet token create"};
}
Error token_used() {
  return {kErrTokenUsed, "this join token has been used", {}, "make one: cygnet token create"};
}
Error csr_unknown(const std::string& device) {
  return {kErrStoreNotFound, "no certificate request of " + in_quotes(device) + " is waiting"};
}
Error revocation_stale(std::uint64_t offered, std::uint64_t stored) {
  return {kErrStoreConflict, "revocation number " + std::to_string(offered) +
                                 " does not come after " + std::to_string(stored)};
}
Error policy_version_wrong(std::uint64_t offered, std::uint64_t stored) {
  return {
      kErrStoreConflict,
      "policy version " + std::to_string(offered) + " does not follow " + std::to_string(stored),
      {},
      "somebody else applied a policy meanwhile: plan again"};
}
Error policy_unknown(std::uint64_t version) {
  return {kErrStoreNotFound, "there is no policy version " + std::to_string(version)};
}

bool is_disk_error(const Error& error) {
  return error.code == kErrDiskFull || error.code == kErrStoreIo ||
         error.code == kErrStoreCorrupt || error.code == kErrStoreBusy;
}

}  // namespace cygnet::controller::store
