// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/ppk_file.h"

#include <algorithm>
#include <string>

#include "cygnet/proto/dim/dim.h"
#include "cygnet/proto/dim/notify.h"
#include "cygnet/rt/text.h"

namespace cygnet::agent {
namespace {

constexpr std::size_t kIdMax = 128;
constexpr std::size_t kPpkMin = 16;
constexpr std::size_t kPpkMax = 256;

// Like from_hex, but into memory that is zeroed when it goes.
std::optional<SecretBytes> secret_from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  SecretBytes out(text.size() / 2);
  const auto nibble = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = nibble(text[2 * i]);
    const int low = nibble(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.reveal_mutable()[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return out;
}

}  // namespace

Result<PpkFile> PpkFile::load(const rt::Path& path) {
  CYGNET_TRY(const SecretBytes content, rt::read_secret(path));
  Result<PpkFile> file = parse(as_text(content.reveal()));
  if (!file) return fail(std::move(file).error().within(path.string()));
  return file;
}

Result<PpkFile> PpkFile::parse(std::string_view text) {
  PpkFile file;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = rt::trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const auto refuse = [number](std::string what) {
      return fail(kErrPpkFile, std::move(what), "line " + std::to_string(number),
                  "write one \"<id> <hex>\" a line");
    };
    const std::size_t space = line.find_first_of(" \t");
    if (space == std::string_view::npos) return refuse("there is no key after the id");
    const std::string_view id = line.substr(0, space);
    if (id.size() > kIdMax) return refuse("the id is longer than 128 octets");
    auto key = secret_from_hex(rt::trim(line.substr(space)));
    if (!key || key->size() < kPpkMin || key->size() > kPpkMax) {
      return refuse("the key is not 16 to 256 octets in hex");
    }
    Bytes octets{proto::kPpkIdFixed};
    octets.insert(octets.end(), id.begin(), id.end());
    if (!file.find(octets).empty()) return refuse("the id stands there twice");
    if (file.ppks_.size() == proto::kPpksMax) return refuse("there are more than two PPKs");
    file.ppks_.emplace_back(std::move(octets),
                            std::make_shared<const SecretBytes>(std::move(*key)));
  }
  return file;
}

std::vector<Bytes> PpkFile::ids() const {
  std::vector<Bytes> ids;
  for (const auto& [id, key] : ppks_) ids.push_back(id);
  return ids;
}

SecretBytes PpkFile::find(ByteView id) const {
  const auto it = std::find_if(ppks_.begin(), ppks_.end(),
                               [id](const auto& entry) { return equal(entry.first, id); });
  return it == ppks_.end() ? SecretBytes() : it->second->duplicate();
}

}  // namespace cygnet::agent
