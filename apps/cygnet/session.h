// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What every command of `cygnet` has: its options, calls to the daemons, output in the form that
/// was asked for, errors in words, exit codes.

#include <functional>
#include <optional>
#include <string>

#include "cli.h"
#include "cygnet/base/result.h"
#include "cygnet/rt/json.h"
#include "table.h"

namespace cygnet::cli {

enum class Daemon { kController, kAgent };
enum class Output { kTable, kWide, kJson, kYaml };

inline constexpr const char* kControllerSocket = "/run/cygnet/cygnetd.sock";
/// Where a cygnetd without `api.socket` listens: in its default state directory.
inline constexpr const char* kControllerStateSocket = "/var/lib/cygnet/controller/cygnetd.sock";
inline constexpr const char* kAgentSocket = "/run/cygnet/agent.sock";

struct Options {
  std::string output = "table";
  std::string socket;
  std::string state;
  std::string agent_socket;
  std::string timeout = "30s";
  bool no_colour = false;
};

/// An answer of a daemon: the octets as they came and what they mean.
struct Answer {
  std::string body;
  rt::Json json;
};

struct Request {
  Daemon daemon = Daemon::kController;
  std::string method = "GET";
  std::string target;
  rt::Json body = nullptr;
  std::string source = {};            ///< file that the error places of the answer refer to
  Duration extra_time = Duration(0);  ///< on top of --timeout
};

class Session {
 public:
  Session(const Surroundings& surroundings, const Options& options);

  /// Checks what CLI11 cannot (units). @return an exit code when something is wrong
  [[nodiscard]] std::optional<int> check_options();

  /// Asks a daemon. On failure the reason has been printed and `exit` is set.
  [[nodiscard]] std::optional<Answer> ask(const Request& request, int& exit);
  /// Asks; nothing is printed on failure.
  [[nodiscard]] Result<Answer> try_ask(const Request& request);

  /// JSON: the daemon's octets unchanged; YAML: the same in YAML; else what `human` makes of it.
  void show(const Answer& answer, const std::function<std::string(const rt::Json&)>& human);
  /// ask() and show() in one; `code` may look at the answer to decide the exit code.
  [[nodiscard]] int ask_and_show(const Request& request,
                                 const std::function<std::string(const rt::Json&)>& human,
                                 const std::function<int(const rt::Json&)>& code = {});

  /// Prints an error; @return the exit code that fits it.
  int report(const Error& error);
  int usage(const std::string& message, const std::string& cure);

  [[nodiscard]] Output output() const { return output_; }
  [[nodiscard]] bool for_people() const {
    return output_ == Output::kTable || output_ == Output::kWide;
  }
  [[nodiscard]] const Style& style() const { return style_; }
  [[nodiscard]] std::string socket_of(Daemon daemon) const;
  /// Whether the user said where the daemon is, by option or variable.
  [[nodiscard]] bool located(Daemon daemon) const;
  [[nodiscard]] const Surroundings& surroundings() const { return surroundings_; }

 private:
  int report_problem(unsigned status, const std::string& body, const std::string& source);
  [[nodiscard]] Error explain(Error error, Daemon daemon) const;
  [[nodiscard]] std::string error_word() const;

  const Surroundings& surroundings_;
  const Options& options_;
  Output output_ = Output::kTable;
  Style style_;
  Duration timeout_{};
};

/// "mesh.yaml:3:5" from an entry of `errors`; without a line when the answer gives none.
[[nodiscard]] std::string place_of(const rt::Json& error, const std::string& source);

/// A file's content, or standard input for "-".
[[nodiscard]] Result<std::string> read_input(const std::string& path, std::istream& in);

}  // namespace cygnet::cli
