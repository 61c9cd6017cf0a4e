// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/wire_encode.h"

namespace cygnet::controller {
namespace {

// Protobuf's encoding: a field is a varint tag (number * 8 + wire type), then a varint (type 0) or
// a varint length and octets (type 2).
constexpr unsigned kVarint = 0;
constexpr unsigned kLengthDelimited = 2;

class ProtoWriter {
 public:
  explicit ProtoWriter(Bytes& out) : out_(out) {}

  void varint(std::uint64_t v) {
    while (v >= 0x80) {
      out_.push_back(static_cast<std::uint8_t>(v | 0x80));
      v >>= 7;
    }
    out_.push_back(static_cast<std::uint8_t>(v));
  }
  void number(unsigned field, std::uint64_t v) {
    if (v == 0) return;  // proto3: a zero is not written
    varint((std::uint64_t{field} << 3) | kVarint);
    varint(v);
  }
  void octets(unsigned field, ByteView v) {
    if (v.empty()) return;
    message(field, v);
  }
  /// A nested message is present even when it is empty.
  void message(unsigned field, ByteView v) {
    varint((std::uint64_t{field} << 3) | kLengthDelimited);
    varint(v.size());
    out_.insert(out_.end(), v.begin(), v.end());
  }

 private:
  Bytes& out_;
};

Bytes encode_stored_dim(const RelayedDim& dim) {
  Bytes out;
  out.reserve(dim.dim->size() + dim.certificate->size() + 24);
  ProtoWriter w(out);
  w.octets(1, *dim.dim);
  w.octets(2, *dim.certificate);
  w.number(3, static_cast<std::uint64_t>(dim.accepted_at.time_since_epoch().count()));
  return out;
}

Bytes encode_endpoint(const Endpoint& endpoint) {
  Bytes out;
  ProtoWriter w(out);
  w.octets(1, endpoint.address);
  w.number(2, endpoint.port);
  w.number(3, static_cast<std::uint64_t>(endpoint.origin));
  // `interface` is the scope of a link-local address on the device itself; nobody else is told.
  return out;
}

Bytes encode_prefix(const policy::PrefixSpec& prefix) {
  Bytes out;
  ProtoWriter w(out);
  w.octets(1, prefix.net.octets());
  w.number(2, prefix.net.length);
  w.number(3, prefix.priority);
  return out;
}

Bytes wrap_change(const Bytes& body) {
  Bytes out;
  out.reserve(body.size() + 6);
  ProtoWriter(out).message(1, body);  // Update.changes
  return out;
}

}  // namespace

Bytes encode_change(std::string_view device, const RelayedDim* dim,
                    const std::vector<Endpoint>* endpoints,
                    const std::vector<policy::PrefixSpec>* prefixes, const PairPolicyValue* pair) {
  Bytes body;
  ProtoWriter w(body);
  w.octets(1, as_bytes(device));
  if (dim != nullptr) w.message(3, encode_stored_dim(*dim));
  if (endpoints != nullptr) {
    Bytes list;
    for (const auto& endpoint : *endpoints) ProtoWriter(list).message(1, encode_endpoint(endpoint));
    w.message(4, list);
  }
  if (prefixes != nullptr) {
    Bytes list;
    for (const auto& prefix : *prefixes) ProtoWriter(list).message(1, encode_prefix(prefix));
    w.message(5, list);
  }
  if (pair != nullptr) {
    Bytes nested;
    ProtoWriter p(nested);
    p.number(1, pair->on_demand ? 1 : 0);
    p.octets(2, as_bytes(pair->via));
    w.message(6, nested);
  }
  return wrap_change(body);
}

Bytes encode_removal(std::string_view device) {
  Bytes body;
  ProtoWriter w(body);
  w.octets(1, as_bytes(device));
  w.number(2, 1);
  return wrap_change(body);
}

Bytes encode_update(std::span<const SharedOctets> changes, const UpdateTail& tail) {
  Bytes out;
  encode_update(changes, tail, out);
  return out;
}

void encode_update(std::span<const SharedOctets> changes, const UpdateTail& tail, Bytes& out) {
  Bytes end;
  {
    Bytes cursor;
    ProtoWriter c(cursor);
    c.octets(1, tail.epoch);
    c.number(2, tail.position);
    ProtoWriter w(end);
    w.message(2, cursor);
    w.number(3, tail.snapshot_begin ? 1 : 0);
    w.number(4, tail.snapshot_end ? 1 : 0);
    w.octets(5, tail.settings);
    w.octets(6, tail.revocations);
  }
  std::size_t size = end.size();
  for (const auto& change : changes) size += change->size();
  out.reserve(size + 6);
  ProtoWriter w(out);
  w.varint((2U << 3) | kLengthDelimited);  // FromController.update
  w.varint(size);
  for (const auto& change : changes) out.insert(out.end(), change->begin(), change->end());
  out.insert(out.end(), end.begin(), end.end());
}

}  // namespace cygnet::controller
