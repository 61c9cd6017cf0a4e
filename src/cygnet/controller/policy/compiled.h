// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A policy compiled into who-may-talk-to-whom, and its update by difference.
///
/// Semantics (docs/policy.md, "Rules"): a rule speaks about the unordered pair {a, b} when one of
/// the two matches `from` and the other `to`. A pair is allowed when at least one allow rule and no
/// deny rule speaks about it; order does not matter for that. The first allow rule that speaks
/// about a pair gives its mode, via and derive. A device is never its own peer.
///
/// Devices that match the same selectors form one class, and rules are evaluated between classes.
/// So memory grows with devices plus classes squared over 8 octets, and a change of one device
/// costs its own labels and its peers, not the mesh.
///
/// Pure; a value owned by one thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/base/strong.h"
#include "cygnet/controller/policy/document.h"

namespace cygnet::controller::policy {

inline constexpr ErrorCode kErrNotSupported{"policy-not-supported"};
inline constexpr ErrorCode kErrOverlap{"policy-overlap"};  ///< equal prefixes, or the mesh's
inline constexpr ErrorCode kErrUnknownDevice{"policy-unknown-device"};
inline constexpr ErrorCode kErrProposals{"policy-proposals"};
inline constexpr ErrorCode kErrLimits{"policy-limits"};  ///< lifetimes, counts

/// A device's handle, given out by DeviceNames; the same in every policy version that shares the
/// table, so that arrays can be indexed by it.
using DeviceIndex = std::uint32_t;

/// Names to handles and back. Handles are dense from 0 and never reused.
class DeviceNames {
 public:
  [[nodiscard]] DeviceIndex intern(std::string_view name);
  [[nodiscard]] std::optional<DeviceIndex> find(std::string_view name) const;
  [[nodiscard]] const std::string& name(DeviceIndex index) const { return *names_[index]; }
  [[nodiscard]] std::size_t size() const { return names_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, DeviceIndex, Hash, std::equal_to<>> index_;
  std::vector<const std::string*> names_;  // keys of index_: its nodes do not move
};

/// What works in this build; the rest of the schema is refused with "not supported yet".
struct Features {
  bool on_demand = true;
  bool via = false;
  bool transport = false;  ///< transport and BEET modes
  bool ppk = false;
};

struct CompileOptions {
  Features features;
  /// The /64 that holds the mesh addresses (protocol section 2); no device may claim it.
  std::optional<IpPrefix> mesh_network;
  /// Devices that are enrolled but that the document does not name (their labels come from the
  /// token). A device the document names wins over one given here.
  std::span<const DeviceSpec> enrolled = {};
};

/// fd | SHA-256("cygnet-mesh" | mesh id)[0..5) | 00 00, a /64 (protocol section 2).
[[nodiscard]] IpPrefix mesh_network(const crypto::MeshId& mesh_id);

/// How an allowed pair behaves.
struct PairPolicy {
  PairMode mode = PairMode::kAlways;
  Derive derive = Derive::kLazy;
  std::string_view via;    ///< refers into the CompiledPolicy; empty: none
  std::uint32_t rule = 0;  ///< index into Document::rules of the rule that allowed it
  friend bool operator==(const PairPolicy& a, const PairPolicy& b) {
    return a.mode == b.mode && a.derive == b.derive && a.via == b.via;  // whichever rule said so
  }
};

/// Why a pair is as it is (`cygnet why`, tests).
struct Verdict {
  bool allowed = false;
  /// The deny rule that decided, or the allow rule; nullopt: no rule speaks about the pair.
  std::optional<std::uint32_t> rule;
};

/// What one device's change did to pairs; each list sorted.
struct AdjacencyDelta {
  DeviceIndex device = 0;
  std::vector<DeviceIndex> added;
  std::vector<DeviceIndex> removed;
  std::vector<DeviceIndex> changed;  ///< still allowed, with another mode, via or derive
  [[nodiscard]] bool empty() const { return added.empty() && removed.empty() && changed.empty(); }
};

/// All that is wrong with a document beyond its syntax; empty when it can be compiled.
[[nodiscard]] std::vector<Error> check(const Document& document, const CompileOptions& options);

class CompiledPolicy {
 public:
  /// Checks and compiles. @retval the first error of check(); nothing is interned then.
  [[nodiscard]] static Result<CompiledPolicy> compile(Document document,
                                                      const CompileOptions& options,
                                                      std::shared_ptr<DeviceNames> names);
  CompiledPolicy(CompiledPolicy&&) noexcept;
  CompiledPolicy& operator=(CompiledPolicy&&) noexcept;
  CompiledPolicy(const CompiledPolicy&) = delete;
  CompiledPolicy& operator=(const CompiledPolicy&) = delete;
  ~CompiledPolicy();

  /// The document as applied; its `devices` are those of the document only.
  [[nodiscard]] const Document& document() const;
  [[nodiscard]] const DeviceNames& names() const;

  [[nodiscard]] bool has(DeviceIndex device) const;
  /// The device as it counts now (from the document, or as enrolled). Precondition: has(device).
  [[nodiscard]] const DeviceSpec& device(DeviceIndex device) const;
  /// Every present device, ascending.
  [[nodiscard]] std::vector<DeviceIndex> devices() const;
  [[nodiscard]] std::size_t device_count() const;

  [[nodiscard]] bool allowed(DeviceIndex a, DeviceIndex b) const;
  /// nullopt when not allowed.
  [[nodiscard]] std::optional<PairPolicy> pair(DeviceIndex a, DeviceIndex b) const;
  [[nodiscard]] Verdict verdict(DeviceIndex a, DeviceIndex b) const;

  /// Peers, ascending. Costs the peers and a sort of them.
  [[nodiscard]] std::vector<DeviceIndex> neighbours(DeviceIndex device) const;
  /// Peers in no particular, but repeatable, order; no allocation.
  void for_each_neighbour(DeviceIndex device, const std::function<void(DeviceIndex)>& visit) const;
  [[nodiscard]] std::size_t neighbour_count(DeviceIndex device) const;
  /// Unordered pairs allowed in the whole mesh.
  [[nodiscard]] std::uint64_t pair_count() const;

  /// True when the document itself names the device: what it says then wins over a token's labels,
  /// and whoever enrols it should leave it as it is.
  [[nodiscard]] bool document_names(std::string_view name) const;
  /// Adds a device or changes its labels, prefixes and endpoints. Refused when its prefixes clash
  /// or its name or labels are malformed; nothing is changed then.
  [[nodiscard]] Result<AdjacencyDelta> upsert_device(DeviceSpec spec);
  /// Removes a device; an unknown one gives an empty delta.
  AdjacencyDelta remove_device(std::string_view name);

  struct Impl;
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  explicit CompiledPolicy(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What changes for every device between two compiled policies that share a DeviceNames table:
/// calls visit once for each device with a non-empty delta, ascending; the delta lives for that
/// call only. Costs the devices, the pairs of each class once, and the pairs that changed. `before`
/// may be null (nothing was allowed).
void for_each_difference(const CompiledPolicy* before, const CompiledPolicy& after,
                         const std::function<void(const AdjacencyDelta&)>& visit);

}  // namespace cygnet::controller::policy
