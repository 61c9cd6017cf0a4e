// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/fleet_file.h"

#include <algorithm>
#include <charconv>

namespace cygnet::load {
namespace {

constexpr std::size_t kFleetFileMax = std::size_t{256} << 20;

/// One PEM block and what follows it.
std::optional<std::string_view> take_pem(std::string_view& rest) {
  constexpr std::string_view kEnd = "\n-----END ";
  if (!rest.starts_with("-----BEGIN ")) return std::nullopt;
  const std::size_t end = rest.find(kEnd);
  if (end == std::string_view::npos) return std::nullopt;
  const std::size_t line = rest.find('\n', end + 1);
  const std::size_t size = line == std::string_view::npos ? rest.size() : line + 1;
  const std::string_view block = rest.substr(0, size);
  rest.remove_prefix(size);
  return block;
}

/// "<word> <value>\n"
std::optional<std::string_view> take_heading(std::string_view& rest, std::string_view word) {
  const std::string_view line = rest.substr(0, rest.find('\n'));
  if (!line.starts_with(word) || line.size() <= word.size() || line[word.size()] != ' ') {
    return std::nullopt;
  }
  rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  return line.substr(word.size() + 1);
}

Result<crypto::Certificate> one_certificate(std::string_view pem) {
  CYGNET_TRY(auto list, crypto::Certificate::list_from_pem(pem));
  if (list.size() != 1) return fail(kErrFleet, "a certificate was expected");
  return std::move(list.front());
}

}  // namespace

std::string member_name(std::uint32_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < 5) digits.insert(0, 5 - digits.size(), '0');
  return "s" + digits;
}

std::optional<std::uint32_t> member_number(std::string_view full_name) {
  if (full_name.empty() || full_name.front() != 's') return std::nullopt;
  const char* begin = full_name.data() + 1;
  const char* end = full_name.data() + full_name.size();
  std::uint32_t number = 0;
  const auto [stop, problem] = std::from_chars(begin, end, number);
  if (problem != std::errc{} || stop - begin < 5 || (stop != end && *stop != '.')) {
    return std::nullopt;
  }
  return number;
}

std::string to_text(const Fleet& fleet) {
  std::string out = "mesh " + fleet.mesh_name + "\nid " + to_hex(fleet.mesh) + "\n";
  for (const auto& anchor : fleet.trust) out += "trust -\n" + anchor.to_pem();
  for (const Member& member : fleet.members) {
    out += "device " + member.name + "\n";
    const SecretBytes key = member.key.to_pem();
    out += as_text(key.reveal());
    out += member.certificate.to_pem();
  }
  return out;
}

Result<Fleet> parse_fleet(std::string_view text) {
  const std::string_view whole = text;
  const auto wrong = [&](std::string what) {
    const auto line = 1 + std::count(whole.begin(), whole.end() - text.size(), '\n');
    return fail(kErrFleet, std::move(what), "line " + std::to_string(line),
                "remove the file to enrol again");
  };
  Fleet fleet;
  const auto mesh = take_heading(text, "mesh");
  if (!mesh) return wrong("no line says which mesh this is");
  fleet.mesh_name = *mesh;
  const auto id_text = take_heading(text, "id");
  const auto id = from_hex(id_text.value_or("-"));
  if (!id || id->size() != fleet.mesh.size()) return wrong("no mesh id stands here");
  std::copy(id->begin(), id->end(), fleet.mesh.begin());
  while (take_heading(text, "trust")) {
    const auto pem = take_pem(text);
    auto anchor = one_certificate(pem.value_or(""));
    if (!anchor) return wrong("no trust anchor stands here: " + anchor.error().to_string());
    fleet.trust.push_back(std::move(*anchor));
  }
  while (!text.empty()) {
    const auto name = take_heading(text, "device");
    if (!name) return wrong("a device was expected");
    const auto key_pem = take_pem(text);
    const auto leaf_pem = take_pem(text);
    if (!key_pem || !leaf_pem) return wrong("a device has a key and a certificate");
    auto key = crypto::IdentityKey::from_pem(SecretBytes(as_bytes(*key_pem)));
    if (!key) return wrong(key.error().to_string());
    auto leaf = one_certificate(*leaf_pem);
    if (!leaf) return wrong(leaf.error().to_string());
    fleet.members.push_back({std::string(*name), std::move(*key), std::move(*leaf)});
  }
  return fleet;
}

Result<Fleet> load_fleet(const rt::Path& path) {
  auto secret = rt::read_secret(path, kFleetFileMax);
  if (!secret) {
    if (secret.error().code == rt::kErrFileNotFound) return Fleet{};
    return fail(std::move(secret).error());
  }
  auto fleet = parse_fleet(as_text(secret->reveal()));
  if (!fleet) return fail(std::move(fleet).error().within(path.string()));
  return fleet;
}

Status store_fleet(const rt::Path& path, const Fleet& fleet) {
  CYGNET_CHECK_OK(rt::make_directory(path.parent_path()));
  return rt::write_secret_atomic(path, SecretBytes(as_bytes(to_text(fleet))));
}

}  // namespace cygnet::load
