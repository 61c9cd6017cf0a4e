// SPDX-License-Identifier: Apache-2.0
#include "cygnet/base/error.h"

namespace cygnet {

std::string Error::to_string() const {
  std::string out;
  if (!where.empty()) out += where + ": ";
  out += message;
  out += " (";
  out += code.name();
  out += ")";
  if (!cure.empty()) out += "; " + cure;
  return out;
}

Error Error::within(std::string_view outer) && {
  where = where.empty() ? std::string(outer) : std::string(outer) + ": " + where;
  return std::move(*this);
}

}  // namespace cygnet
