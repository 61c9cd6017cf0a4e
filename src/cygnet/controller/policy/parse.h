// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Policy YAML into a Document (docs/policy.md). The only place that knows YAML. Every problem
/// names file, line and column and says what to write instead; unknown keys name the nearest known
/// one. Thread-safe.

#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/controller/policy/document.h"

namespace cygnet::controller::policy {

inline constexpr ErrorCode kErrYaml{"policy-yaml"};  ///< no YAML, or too large
inline constexpr ErrorCode kErrUnknownKey{"policy-unknown-key"};
inline constexpr ErrorCode kErrMissingKey{"policy-missing-key"};
inline constexpr ErrorCode kErrDuplicate{"policy-duplicate"};  ///< a key or a name given twice
inline constexpr ErrorCode kErrValue{"policy-value"};          ///< a value of the wrong kind

inline constexpr std::size_t kDocumentSizeMax = std::size_t{64} * 1024 * 1024;
inline constexpr std::size_t kProblemsMax = 50;

/// What could be read, and all that is wrong with it, in the order of the text, at most
/// kProblemsMax. The document is usable only when there are no problems.
struct Parsed {
  Document document;
  std::vector<Error> problems;
};
[[nodiscard]] Parsed parse_all(std::string_view yaml, std::string_view source);

/// The document, or the first problem.
[[nodiscard]] Result<Document> parse(std::string_view yaml, std::string_view source);

}  // namespace cygnet::controller::policy
