// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/ids/device_name.h"

#include <algorithm>

namespace cygnet::proto {
namespace {

// Names come from other machines: what is not printable must not reach a log through an error.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 80)) out.push_back(c > ' ' && c <= '~' ? c : '?');
  return text.size() > 80 ? out + "…" : out;
}

}  // namespace

bool is_dns_label(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && text.size() <= kDnsLabelLengthMax && text.front() != '-' &&
         text.back() != '-' && std::all_of(text.begin(), text.end(), allowed);
}

Result<DeviceName> make_device_name(std::string_view name, std::string_view mesh) {
  for (const std::string_view label : {name, mesh}) {
    if (!is_dns_label(label)) {
      return fail(kErrDeviceName, "\"" + printable(label) + "\" is no lower-case DNS label", {},
                  "use 1 to 63 of a-z, 0-9 and '-', with no '-' at either end");
    }
  }
  return DeviceName(std::string(name) + "." + std::string(mesh));
}

Result<DeviceName> parse_device_name(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) {
    return fail(kErrDeviceName, "\"" + printable(text) + "\" is no device name", {},
                "write <name>.<mesh>");
  }
  return make_device_name(text.substr(0, dot), text.substr(dot + 1));
}

std::string_view name_label(const DeviceName& device) {
  const std::string_view text = device.value();
  return text.substr(0, text.find('.'));
}

std::string_view mesh_label(const DeviceName& device) {
  const std::string_view text = device.value();
  const std::size_t dot = text.find('.');
  return dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
}

}  // namespace cygnet::proto
