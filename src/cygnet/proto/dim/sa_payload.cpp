// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/dim/sa_payload.h"

#include <algorithm>
#include <array>

#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/ikev2/payload.h"

namespace cygnet::proto {
namespace {

constexpr std::uint8_t kProtocolEsp = 3;
constexpr std::uint8_t kMoreProposals = 2;
constexpr std::uint8_t kMoreTransforms = 3;
constexpr std::size_t kSubstructureHeader = 8;
constexpr std::uint16_t kAttributeTv = 0x8000;
constexpr std::uint16_t kAttributeKeyLength = 14;

// The order in which transforms stand in a proposal; types we do not know follow, ascending.
constexpr std::array kTransformOrder = {
    TransformType::kEncr, TransformType::kInteg, TransformType::kKe,     TransformType::kSn,
    TransformType::kPrf,  TransformType::kMode,  TransformType::kReplay,
};

std::size_t rank_of(std::uint8_t type) {
  for (std::size_t i = 0; i < kTransformOrder.size(); ++i) {
    if (static_cast<std::uint8_t>(kTransformOrder[i]) == type) return i;
  }
  return kTransformOrder.size() + type;
}

const Transform* find(const Proposal& proposal, TransformType type) {
  for (const Transform& t : proposal.transforms) {
    if (t.type == static_cast<std::uint8_t>(type)) return &t;
  }
  return nullptr;
}

// Refusals inside the SA payload: `where` names the payload, the message the proposal.
class SaReader {
 public:
  SaReader(ByteView body, std::size_t offset) : body_(body), offset_(offset) {}

  Result<std::vector<Proposal>> read() {
    std::vector<Proposal> out;
    std::size_t at = 0;
    bool more = true;
    while (more) {
      if (out.size() == kProposalsMax) {
        return refuse(at, "more than " + std::to_string(kProposalsMax) + " proposals");
      }
      CYGNET_TRY(const std::size_t length,
                 substructure(at, body_.size(), kMoreProposals, more, "proposal"));
      CYGNET_TRY(Proposal proposal, read_proposal(at, at + length, out.size() + 1));
      for (const Proposal& earlier : out) {
        if (same_transforms(earlier, proposal)) {
          return refuse(at, "proposal " + std::to_string(proposal.number) + " repeats proposal " +
                                std::to_string(earlier.number));
        }
      }
      out.push_back(std::move(proposal));
      at += length;
    }
    if (at != body_.size()) {
      return refuse(at, std::to_string(body_.size() - at) + " octets follow the last proposal");
    }
    return out;
  }

 private:
  [[nodiscard]] tl::unexpected<Error> refuse(std::size_t at, const std::string& what) const {
    return fail(
        kErrDimForm,
        what + " (octet " + std::to_string(offset_ + ikev2::kPayloadHeaderLength + at) + ")",
        ikev2::payload_at(ikev2::payload::kSa, offset_));
  }

  // The common head of proposals and transforms: last or more, reserved, length.
  Result<std::size_t> substructure(std::size_t at, std::size_t end, std::uint8_t more_mark,
                                   bool& more, const char* kind) const {
    if (end - at < kSubstructureHeader) {
      return refuse(at, std::string(kind) + " header cut short");
    }
    const std::uint8_t* p = body_.data() + at;
    if (p[0] != 0 && p[0] != more_mark) {
      return refuse(at, std::string(kind) + " starts with " + std::to_string(p[0]) +
                            ", which is neither last (0) nor more (" + std::to_string(more_mark) +
                            ")");
    }
    if (p[1] != 0) return refuse(at + 1, std::string(kind) + " has reserved bits set");
    const std::size_t length = load_be16(p + 2);
    if (length < kSubstructureHeader || length > end - at) {
      return refuse(at + 2, std::string(kind) + " length " + std::to_string(length) +
                                " does not fit the " + std::to_string(end - at) + " octets there");
    }
    more = p[0] == more_mark;
    return length;
  }

  Result<Proposal> read_proposal(std::size_t at, std::size_t end, std::size_t number) const {
    const std::uint8_t* p = body_.data() + at;
    Proposal proposal;
    proposal.number = p[4];
    const std::string name = "proposal " + std::to_string(number);
    if (p[4] != number) {
      return refuse(at + 4, name + " is numbered " + std::to_string(p[4]));
    }
    if (p[5] != kProtocolEsp) {
      return refuse(at + 5, name + " has protocol " + std::to_string(p[5]) + ", not ESP (3)");
    }
    if (p[6] != 0) return refuse(at + 6, name + " has an SPI");
    const std::size_t count = p[7];
    std::size_t pos = at + kSubstructureHeader;
    bool more = count > 0;
    if (count == 0) return refuse(at + 7, name + " has no transforms");
    while (more) {
      CYGNET_TRY(const std::size_t length,
                 substructure(pos, end, kMoreTransforms, more, "transform"));
      CYGNET_TRY(Transform transform, read_transform(pos, pos + length));
      if (!proposal.transforms.empty()) {
        const Transform& previous = proposal.transforms.back();
        //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
        //# each proposal within the SA payload MUST contain at most a single transform for each
        //# Transform type
        //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
        //# more than one transform of each type MUST NOT be present, and no error notifications are
        //# returned to the peer
        if (previous.type == transform.type) {
          return refuse(pos + 4,
                        name + " has two transforms of type " + std::to_string(transform.type));
        }
        if (rank_of(previous.type) > rank_of(transform.type)) {
          return refuse(pos + 4, name + " has a transform of type " +
                                     std::to_string(transform.type) + " after one of type " +
                                     std::to_string(previous.type) +
                                     "; the order is ENCR, INTEG, KE, SN, PRF, mode, replay, then "
                                     "unknown types ascending");
        }
      }
      proposal.transforms.push_back(std::move(transform));
      pos += length;
    }
    if (proposal.transforms.size() != count) {
      return refuse(at + 7, name + " announces " + std::to_string(count) + " transforms and has " +
                                std::to_string(proposal.transforms.size()));
    }
    if (pos != end) {
      return refuse(pos,
                    std::to_string(end - pos) + " octets follow the last transform of " + name);
    }
    CYGNET_CHECK_OK(check_rules(proposal, at, name));
    return proposal;
  }

  Result<Transform> read_transform(std::size_t at, std::size_t end) const {
    const std::uint8_t* p = body_.data() + at;
    Transform t;
    t.type = p[4];
    if (p[5] != 0) return refuse(at + 5, "transform has reserved bits set");
    t.id = load_be16(p + 6);
    std::size_t pos = at + kSubstructureHeader;
    while (pos < end) {
      const std::size_t start = pos;
      if (end - pos < 4) return refuse(pos, "transform attribute cut short");
      const std::uint16_t head = load_be16(body_.data() + pos);
      const std::uint16_t value = load_be16(body_.data() + pos + 2);
      const auto type = static_cast<std::uint16_t>(head & ~kAttributeTv);
      pos += 4;
      if ((head & kAttributeTv) == 0) {
        if (type == kAttributeKeyLength) {
          return refuse(start, "Key Length attribute is not in its two-octet form");
        }
        if (value > end - pos) return refuse(start + 2, "transform attribute cut short");
        pos += value;
      } else if (type == kAttributeKeyLength) {
        if (t.key_bits || !t.other_attributes.empty()) {
          return refuse(start, "Key Length attribute is repeated or not the first attribute");
        }
        t.key_bits = value;
        continue;
      }
      t.other_attributes.insert(t.other_attributes.end(), body_.begin() + static_cast<long>(start),
                                body_.begin() + static_cast<long>(pos));
    }
    return t;
  }

  // What the parts of one proposal ask of each other.
  Status check_rules(const Proposal& proposal, std::size_t at, const std::string& name) const {
    constexpr std::array mandatory = {
        std::pair{TransformType::kEncr, "ENCR"}, std::pair{TransformType::kKe, "KE"},
        std::pair{TransformType::kSn, "SN"}, std::pair{TransformType::kPrf, "PRF"}};
    for (const auto& [type, text] : mandatory) {
      if (find(proposal, type) == nullptr) {
        return refuse(at, name + " has no " + text + " transform");
      }
    }
    if (find(proposal, TransformType::kKe)->id == 0) {
      return refuse(at, name + " has KE method NONE");
    }
    const Transform& encr = *find(proposal, TransformType::kEncr);
    const Transform* integ = find(proposal, TransformType::kInteg);
    const std::optional<crypto::EncrId> cipher = crypto::encr_from(encr.id);
    for (const Transform& t : proposal.transforms) {
      if (t.key_bits && t.type != static_cast<std::uint8_t>(TransformType::kEncr) &&
          rank_of(t.type) < kTransformOrder.size()) {
        return refuse(
            at, name + " gives a Key Length to a transform of type " + std::to_string(t.type));
      }
    }
    if (cipher) {
      const bool aes = *cipher != crypto::EncrId::kChaCha20Poly1305;
      if (aes && !encr.key_bits) return refuse(at, name + " has AES without a Key Length");
      if (!aes && encr.key_bits) return refuse(at, name + " has a Key Length for ChaCha20");
      const bool aead = *cipher != crypto::EncrId::kAesCbc;
      if (aead && integ != nullptr) {
        return refuse(at, name + " has an INTEG transform beside an AEAD cipher");
      }
      if (!aead && (integ == nullptr || integ->id == 0)) {
        return refuse(at, name + " has AES-CBC without an integrity algorithm");
      }
    }
    const Transform* mode = find(proposal, TransformType::kMode);
    if (mode != nullptr && mode->id == static_cast<std::uint16_t>(Mode::kTunnel)) {
      return refuse(at, name + " encodes tunnel mode, which is the default and left out");
    }
    return {};
  }

  ByteView body_;
  std::size_t offset_;
};

Bytes encode_transform(const Transform& t, bool last) {
  ByteWriter w;
  w.u8(last ? 0 : kMoreTransforms);
  w.u8(0);
  w.u16(0);
  w.u8(t.type);
  w.u8(0);
  w.u16(t.id);
  if (t.key_bits) {
    w.u16(kAttributeTv | kAttributeKeyLength);
    w.u16(*t.key_bits);
  }
  w.octets(t.other_attributes);
  w.patch_u16(2, static_cast<std::uint16_t>(w.size()));
  return w.take();
}

}  // namespace

Result<std::vector<Proposal>> decode_sa(ByteView body, std::size_t offset) {
  return SaReader(body, offset).read();
}

Bytes encode_sa(const std::vector<Proposal>& proposals) {
  ByteWriter out;
  for (std::size_t i = 0; i < proposals.size(); ++i) {
    const Proposal& proposal = proposals[i];
    ByteWriter w;
    w.u8(i + 1 == proposals.size() ? 0 : kMoreProposals);
    w.u8(0);
    w.u16(0);
    w.u8(proposal.number);
    w.u8(kProtocolEsp);
    w.u8(0);
    w.u8(static_cast<std::uint8_t>(proposal.transforms.size()));
    for (std::size_t j = 0; j < proposal.transforms.size(); ++j) {
      w.octets(encode_transform(proposal.transforms[j], j + 1 == proposal.transforms.size()));
    }
    w.patch_u16(2, static_cast<std::uint16_t>(w.size()));
    out.octets(w.view());
  }
  return out.take();
}

bool same_transforms(const Proposal& a, const Proposal& b) {
  return std::is_permutation(a.transforms.begin(), a.transforms.end(), b.transforms.begin(),
                             b.transforms.end());
}

std::vector<std::uint16_t> groups_in_order(const std::vector<Proposal>& proposals) {
  std::vector<std::uint16_t> out;
  for (const Proposal& proposal : proposals) {
    const Transform* ke = find(proposal, TransformType::kKe);
    if (ke != nullptr && std::find(out.begin(), out.end(), ke->id) == out.end()) {
      out.push_back(ke->id);
    }
  }
  return out;
}

bool group_is_usable(const std::vector<Proposal>& proposals, std::uint16_t group) {
  return std::any_of(proposals.begin(), proposals.end(), [group](const Proposal& p) {
    const auto policy = interpret(p);
    return policy && static_cast<std::uint16_t>(policy->group) == group;
  });
}

}  // namespace cygnet::proto
