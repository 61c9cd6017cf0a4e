// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/selector.h"

#include <algorithm>

#include "cygnet/base/in_quotes.h"

namespace cygnet::controller::policy {
namespace {

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_inner(char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-' || c == '/'; }
bool is_wildcard(char c) { return c == '*' || c == '?'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool is_pattern(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_inner(c) || is_wildcard(c);
  });
}

}  // namespace

bool is_label_word(std::string_view text) {
  return !text.empty() && text.size() <= 63 && is_alnum(text.front()) && is_alnum(text.back()) &&
         std::all_of(text.begin(), text.end(), is_inner);
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  // Backtracks to the last star only: linear in practice, never exponential.
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool Selector::matches(std::string_view name, const std::vector<Label>& labels) const {
  return std::all_of(terms.begin(), terms.end(), [&](const SelectorTerm& term) {
    if (term.key == "name") return glob_matches(term.pattern, name);
    const auto label =
        std::lower_bound(labels.begin(), labels.end(), term.key,
                         [](const Label& l, const std::string& key) { return l.key < key; });
    return label != labels.end() && label->key == term.key &&
           glob_matches(term.pattern, label->value);
  });
}

Result<Selector> parse_selector(std::string_view text) {
  Selector selector;
  if (trimmed(text) == "any") return selector;
  std::string_view rest = text;
  while (true) {
    const std::size_t comma = rest.find(',');
    const std::string_view term = trimmed(rest.substr(0, comma));
    const std::size_t equals = term.find('=');
    if (term.empty()) {
      return fail(kErrSelector, in_quotes(text) + " is no selector: a term is empty", {},
                  "write any, name=NAME or label=value, several with commas between");
    }
    if (equals == std::string_view::npos) {
      return fail(kErrSelector, in_quotes(term) + " is no selector", {},
                  term == "any" ? "any stands alone: leave out the other terms, or any"
                                : "write name=" + std::string(term) +
                                      " for a device, label=value for a label, or any");
    }
    const std::string_view key = trimmed(term.substr(0, equals));
    const std::string_view pattern = trimmed(term.substr(equals + 1));
    if (!is_label_word(key)) {
      return fail(kErrSelector, in_quotes(key) + " is no label key", {},
                  "a key has 1 to 63 letters, digits, '.', '_', '-' or '/'");
    }
    if (!is_pattern(pattern)) {
      return fail(kErrSelector, in_quotes(pattern) + " is no value for " + in_quotes(key), {},
                  "a value has 1 to 63 letters, digits, '.', '_', '-' or '/', and may hold the "
                  "wildcards * and ?");
    }
    selector.terms.push_back({std::string(key), std::string(pattern)});
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  std::sort(selector.terms.begin(), selector.terms.end());
  selector.terms.erase(std::unique(selector.terms.begin(), selector.terms.end()),
                       selector.terms.end());
  return selector;
}

std::string to_string(const Selector& selector) {
  if (selector.terms.empty()) return "any";
  std::string out;
  for (const SelectorTerm& term : selector.terms) {
    if (!out.empty()) out += ',';
    out += term.key + "=" + term.pattern;
  }
  return out;
}

}  // namespace cygnet::controller::policy
