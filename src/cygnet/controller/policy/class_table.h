// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Classes of devices that no rule can tell apart, and which classes may talk to which. Internal to
/// compiled.h. Pure; a value.
///
/// Each distinct selector of the rules gets an id; the sorted ids a device matches are its
/// signature; devices of one signature are one class. Rules are evaluated between classes only.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cygnet/controller/policy/bits.h"
#include "cygnet/controller/policy/compiled.h"

namespace cygnet::controller::policy {

using SelectorId = std::uint32_t;
using ClassId = std::uint32_t;
using Signature = std::vector<SelectorId>;

class ClassTable {
 public:
  explicit ClassTable(const std::vector<RuleSpec>& rules);

  /// Selectors the device matches: costs its labels, the selectors found by them, and the
  /// selectors made of wildcards only.
  [[nodiscard]] Signature signature_of(const DeviceSpec& spec) const;

  /// Puts a device into the class of its signature, made if need be.
  ClassId add(DeviceIndex device, const Signature& signature);
  /// Takes it out; the class goes with its last member.
  void remove(DeviceIndex device, ClassId from);
  /// Between these two, add() leaves adjacency for the end: for compiling everything at once.
  void begin_bulk() { bulk_ = true; }
  void end_bulk();

  [[nodiscard]] const Signature& signature(ClassId id) const { return classes_[id].signature; }
  [[nodiscard]] const std::vector<DeviceIndex>& members(ClassId id) const {
    return classes_[id].members;
  }
  /// Classes whose members may talk to members of this one (perhaps itself among them).
  [[nodiscard]] const Bits& row(ClassId id) const { return classes_[id].row; }
  [[nodiscard]] std::size_t size() const { return classes_.size(); }
  /// All members in one piece, so that walking many classes stays in the cache: those of class c
  /// stand from begin[c] to begin[c + 1].
  struct FlatMembers {
    std::vector<std::uint32_t> begin;
    std::vector<DeviceIndex> devices;
  };
  [[nodiscard]] FlatMembers flatten() const;

  /// The first rule of an action that speaks about a pair of these classes.
  [[nodiscard]] std::optional<std::uint32_t> first_rule(ClassId a, ClassId b, Action action) const;
  /// For every class adjacent to `id`, the first allow rule; by class id, kNoRule elsewhere.
  static constexpr std::uint32_t kNoRule = 0xffffffff;
  [[nodiscard]] std::vector<std::uint32_t> first_allow_rules(ClassId id) const;
  /// False when no present device matches the selector of that side.
  [[nodiscard]] bool side_matches_anyone(std::uint32_t rule, bool from) const;

 private:
  struct Use {
    std::uint32_t rule;
    SelectorId other;  ///< of the rule's other side
    Action action;
  };
  struct Class {
    Signature signature;
    Bits selectors;  ///< the signature as bits
    std::vector<DeviceIndex> members;
    Bits row;
  };
  struct SignatureHash {
    std::size_t operator()(const Signature& signature) const noexcept;
  };
  struct Sides {
    SelectorId from;
    SelectorId to;
  };

  [[nodiscard]] Bits make_row(const Class& of) const;
  /// The uses of all selectors of a class with an action, by rule.
  [[nodiscard]] std::vector<Use> uses_of(const Class& of, Action action) const;

  std::vector<Selector> selectors_;
  std::vector<Sides> rules_;
  std::vector<std::vector<Use>> uses_;  ///< by selector
  std::vector<Bits> selector_classes_;  ///< by selector: classes that match it
  std::unordered_map<std::string, std::vector<SelectorId>> by_term_;  ///< "key=value", exact
  std::vector<SelectorId> scanned_;  ///< selectors without an exact term
  std::vector<Class> classes_;
  std::vector<ClassId> free_;
  std::unordered_map<Signature, ClassId, SignatureHash> by_signature_;
  std::vector<std::uint32_t> member_at_;  ///< by device: its place in its class's members
  bool bulk_ = false;
};

}  // namespace cygnet::controller::policy
