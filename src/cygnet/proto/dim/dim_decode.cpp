// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/dim/notify.h"
#include "cygnet/proto/dim/sa_payload.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ikev2/payload.h"

namespace cygnet::proto {
namespace {

using ikev2::Payload;
namespace payload = ikev2::payload;

tl::unexpected<Error> refuse(const Payload& p, const std::string& what) {
  return fail(kErrDimForm, what, ikev2::payload_at(p.type, p.offset));
}

struct Notify {
  std::uint16_t type = 0;
  ByteView data;
};

Result<Notify> read_notify(const Payload& p) {
  if (p.body.size() < 4) return refuse(p, "notify is shorter than its fixed fields");
  if (p.body[0] != 0) {
    return refuse(p, "notify has protocol " + std::to_string(p.body[0]) + ", not 0");
  }
  if (p.body[1] != 0) {
    return refuse(p, "notify has SPI size " + std::to_string(p.body[1]) + ", not 0");
  }
  return Notify{load_be16(p.body.data() + 2), p.body.subspan(4)};
}

Status expect_length(const Payload& p, const Notify& n, std::size_t length) {
  if (n.data.size() == length) return {};
  return refuse(p, notify_name(n.type) + " has " + std::to_string(n.data.size()) +
                       " octets of data, not " + std::to_string(length));
}

// Reads the payloads in their one order; each step consumes what it reads.
class DimReader {
 public:
  explicit DimReader(std::vector<Payload> payloads) : payloads_(std::move(payloads)) {}

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
  //# The following data elements MUST be embedded in a DIM message
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
  //# ID, [N(INITIAL_CONTACT),] [SA,] KE, [KE,] Ni
  Result<Dim> read() {
    CYGNET_CHECK_OK(read_identity());
    CYGNET_CHECK_OK(read_counter());
    CYGNET_CHECK_OK(read_notifies());
    CYGNET_CHECK_OK(read_proposals());
    CYGNET_CHECK_OK(read_kes());
    CYGNET_CHECK_OK(read_nonce());
    CYGNET_CHECK_OK(read_auth());
    if (next_ != payloads_.size()) {
      return refuse(payloads_[next_], "a payload follows AUTH, which must be the last");
    }
    return std::move(dim_);
  }

 private:
  [[nodiscard]] const Payload* peek() const {
    return next_ < payloads_.size() ? &payloads_[next_] : nullptr;
  }

  // The next payload, which has to be of this type.
  Result<Payload> expect(std::uint8_t type) {
    const Payload* p = peek();
    if (p == nullptr) {
      const Payload& last = payloads_.back();
      return refuse(last, "the message ends where the " + ikev2::payload_name(type) +
                              " payload should follow");
    }
    if (p->type != type) {
      return refuse(*p, "unexpected payload: " + ikev2::payload_name(type) + " should stand here");
    }
    ++next_;
    return *p;
  }

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
  //# o Peer identity (used to identify a peer in the PAD)
  Status read_identity() {
    CYGNET_TRY(const Payload p, expect(payload::kIdi));
    constexpr std::uint8_t fqdn = 2;
    if (p.body.size() < 4) return refuse(p, "identity is shorter than its fixed fields");
    if (p.body[0] != fqdn) {
      return refuse(p, "identity type " + std::to_string(p.body[0]) + " is not FQDN (2)");
    }
    if (p.body[1] != 0 || p.body[2] != 0 || p.body[3] != 0) {
      return refuse(p, "identity has reserved bits set");
    }
    auto name = parse_device_name(as_text(p.body.subspan(4)));
    if (!name) return refuse(p, name.error().message);
    dim_.device = *name;
    return {};
  }

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
  //# the following data elements SHOULD be included in a DIM
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
  //# o A rekey counter, which increases for each unique DIM sent
  Status read_counter() {
    CYGNET_TRY(const Payload p, expect(payload::kNotify));
    CYGNET_TRY(const Notify n, read_notify(p));
    if (n.type != notify::kRekeyCounter) {
      return refuse(p, notify_name(n.type) + " stands where REKEY_COUNTER should");
    }
    CYGNET_CHECK_OK(expect_length(p, n, 8));
    dim_.counter = RekeyCounter::from_wire(load_be64(n.data.data()));
    if (dim_.counter.sequence() == 0) {
      return refuse(p, "REKEY_COUNTER has sequence 0; sequences start at 1");
    }
    return {};
  }

  Status read_notifies() {
    int rank = 0;
    while (peek() != nullptr && peek()->type == payload::kNotify) {
      const Payload p = *peek();
      ++next_;
      CYGNET_TRY(const Notify n, read_notify(p));
      if (n.type < notify::kFirstStatus) {
        return refuse(p, "notify type " + std::to_string(n.type) + " is no status notify");
      }
      const int this_rank = notify_rank(n.type);
      const bool may_repeat = this_rank >= notify_rank(notify::kPpkIdentity);
      if (this_rank < rank || (this_rank == rank && !may_repeat)) {
        return refuse(p, notify_name(n.type) + " is repeated or out of order");
      }
      rank = this_rank;
      CYGNET_CHECK_OK(read_status(p, n));
    }
    return {};
  }

  Status read_status(const Payload& p, const Notify& n) {
    switch (n.type) {
      case notify::kInitialContact:
        //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
        //# o An Indication whether this is the initial distributed policy.
        dim_.initial_contact = true;
        return expect_length(p, n, 0);
      case notify::kLanes:
        CYGNET_CHECK_OK(expect_length(p, n, 2));
        dim_.lanes = load_be16(n.data.data());
        if (dim_.lanes == 0) return refuse(p, "LANES is 0");
        if (dim_.lanes == 1) return refuse(p, "LANES is 1, which is the default and left out");
        return {};
      case notify::kPpkIdentity:
        return read_ppk(p, n);
      default:
        break;
    }
    if (!dim_.unknown_notifies.empty() && dim_.unknown_notifies.back().type > n.type) {
      return refuse(p, notify_name(n.type) + " stands after a higher unknown notify type");
    }
    dim_.unknown_notifies.push_back({n.type, {n.data.begin(), n.data.end()}});
    return {};
  }

  Status read_ppk(const Payload& p, const Notify& n) {
    if (n.data.size() < 2) return refuse(p, "PPK_IDENTITY names no PPK");
    if (n.data[0] != kPpkIdFixed) {
      return refuse(p, "PPK_IDENTITY has type " + std::to_string(n.data[0]) + ", not 2");
    }
    if (dim_.ppk_ids.size() == kPpksMax) return refuse(p, "more than 2 PPK_IDENTITY notifies");
    Bytes id(n.data.begin(), n.data.end());
    if (!dim_.ppk_ids.empty() && dim_.ppk_ids.front() == id) {
      return refuse(p, "PPK_IDENTITY is repeated");
    }
    dim_.ppk_ids.push_back(std::move(id));
    return {};
  }

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
  //# o An IPsec policy or policies
  Status read_proposals() {
    CYGNET_TRY(const Payload p, expect(payload::kSa));
    CYGNET_TRY(dim_.proposals, decode_sa(p.body, p.offset));
    if (groups_in_order(dim_.proposals).size() > kKesMax) {
      return refuse(p, "the proposals name more than " + std::to_string(kKesMax) + " groups");
    }
    return {};
  }

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
  //# A KE payload must be included for each D-H Group that is offered in the SA payload.
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
  //# o DH public number (used for key computation)
  Status read_kes() {
    for (const std::uint16_t group : groups_in_order(dim_.proposals)) {
      CYGNET_TRY(const Payload p, expect(payload::kKe));
      if (p.body.size() < 4) return refuse(p, "KE is shorter than its fixed fields");
      DhPublic ke;
      ke.group = load_be16(p.body.data());
      if (load_be16(p.body.data() + 2) != 0) return refuse(p, "KE has reserved bits set");
      if (ke.group != group) {
        return refuse(p, "KE for group " + std::to_string(ke.group) + " where group " +
                             std::to_string(group) + " is due, in order of first use");
      }
      const ByteView value = p.body.subspan(4);
      const auto known = crypto::dh_group_from(group);
      if (known && group_is_usable(dim_.proposals, group) &&
          value.size() != crypto::public_value_length(*known)) {
        return refuse(p, "public value of group " + std::to_string(group) + " has " +
                             std::to_string(value.size()) + " octets, not " +
                             std::to_string(crypto::public_value_length(*known)));
      }
      ke.value.assign(value.begin(), value.end());
      dim_.kes.push_back(std::move(ke));
    }
    return {};
  }

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
  //# o Nonce (used for key computation and SPI generation)
  Status read_nonce() {
    CYGNET_TRY(const Payload p, expect(payload::kNonce));
    if (p.body.size() != kNonceLength) {
      return refuse(p, "nonce has " + std::to_string(p.body.size()) + " octets, not " +
                           std::to_string(kNonceLength));
    }
    dim_.nonce.assign(p.body.begin(), p.body.end());
    return {};
  }

  Status read_auth() {
    CYGNET_TRY(const Payload p, expect(payload::kAuth));
    if (p.body.size() < 5) return refuse(p, "AUTH is shorter than its fixed fields");
    if (p.body[0] != kAuthMethodSignature) {
      return refuse(p, "AUTH method " + std::to_string(p.body[0]) + " is not 14");
    }
    if (p.body[1] != 0 || p.body[2] != 0 || p.body[3] != 0) {
      return refuse(p, "AUTH has reserved bits set");
    }
    const std::size_t algorithm = p.body[4];
    const ByteView rest = p.body.subspan(5);
    if (algorithm == 0 || algorithm > rest.size()) {
      return refuse(p, "AUTH algorithm length " + std::to_string(algorithm) + " does not fit");
    }
    if (algorithm == rest.size()) return refuse(p, "AUTH has no signature");
    dim_.auth.algorithm.assign(rest.begin(), rest.begin() + static_cast<long>(algorithm));
    dim_.auth.value.assign(rest.begin() + static_cast<long>(algorithm), rest.end());
    return {};
  }

  std::vector<Payload> payloads_;
  std::size_t next_ = 0;
  Dim dim_;
};

}  // namespace

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//# One possible method for distributing a DIM within a controller protocol is to use a set of IKEv2
//# payloads.
Result<Dim> decode_dim(ByteView octets) {
  if (octets.size() > kDimLengthMax) {
    return fail(kErrDimSize,
                "DIM of " + std::to_string(octets.size()) + " octets exceeds the limit of " +
                    std::to_string(kDimLengthMax),
                ikev2::payload_at(payload::kIdi, 0));
  }
  CYGNET_TRY(std::vector<Payload> payloads, ikev2::split_chain(payload::kIdi, octets, kErrDimForm));
  return DimReader(std::move(payloads)).read();
}

ByteView octets_before_auth(ByteView octets) {
  const auto payloads = ikev2::split_chain(payload::kIdi, octets, kErrDimForm);
  CYGNET_ASSERT(payloads.has_value() && payloads->back().type == payload::kAuth);
  return octets.first(payloads->back().offset);
}

}  // namespace cygnet::proto
