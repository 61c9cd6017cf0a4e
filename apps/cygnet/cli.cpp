// SPDX-License-Identifier: Apache-2.0
// Words to commands. The only file that sees CLI11.
#include "cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>

#include "commands.h"
#include "cygnet/debug/debug.h"
#include "cygnet/rt/text.h"
#include "exit_codes.h"
#include "session.h"

namespace cygnet::cli {
namespace {

using Run = std::function<int(Session&)>;

constexpr const char* kExitCodes =
    "Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 unreachable, 5 denied, 6 degraded,\n"
    "124 timeout; plan and diff: 0 no change, 2 change.";

/// Builds one command after the other; each sets `chosen_` when its words were given.
class Commands {
 public:
  explicit Commands(const Surroundings& surroundings)
      : surroundings_(surroundings),
        app_(
            "Cygnet: private pairwise keys for a fleet of IPsec gateways.\n"
            "Without a command: cygnet status.",
            "cygnet") {
    app_.set_version_flag("--version", CYGNET_VERSION);
    app_.require_subcommand(0, 1);
    app_.fallthrough();
    app_.add_option("-o,--output", options_.output, "table, wide, json or yaml")
        ->check(CLI::IsMember({"table", "wide", "json", "yaml"}))
        ->capture_default_str();
    app_.add_option(
        "--socket", options_.socket,
        std::string("the controller's socket [$CYGNETD_SOCKET, ") + kControllerSocket + "]");
    app_.add_option("--state", options_.state,
                    "the controller's state directory: its cygnetd.sock is the socket");
    app_.add_option("--agent-socket", options_.agent_socket,
                    std::string("the agent's socket [$CYGNET_AGENT_SOCKET, ") + kAgentSocket + "]");
    app_.add_option("--timeout", options_.timeout, "how long to wait for an answer")
        ->capture_default_str();
    app_.add_flag("--no-color,--no-colour", options_.no_colour, "never colour (also $NO_COLOR)");
    app_.footer(std::string("Examples:\n"
                            "  cygnet                              this device and its peers\n"
                            "  cygnet get devices -o wide          the fleet, on the controller\n"
                            "  cygnet why hub-1 store-0417         explain one pair\n"
                            "\n") +
                kExitCodes);
    add_device_side();
    add_get();
    add_policy();
    add_fleet();
    add_debug();
  }

  int run(std::vector<std::string> arguments) {
    std::reverse(arguments.begin(), arguments.end());  // how CLI11 takes a vector
    try {
      app_.parse(arguments);
    } catch (const CLI::CallForHelp& help) {
      return app_.exit(help, surroundings_.out, surroundings_.err);
    } catch (const CLI::CallForAllHelp& help) {
      return app_.exit(help, surroundings_.out, surroundings_.err);
    } catch (const CLI::CallForVersion& version) {
      return app_.exit(version, surroundings_.out, surroundings_.err);
    } catch (const CLI::ExtrasError&) {
      return unexpected();
    } catch (const CLI::ParseError& error) {
      if (error.get_name() == "RequiredError" && !app_.remaining(true).empty()) return unexpected();
      surroundings_.err << "error: " << printable(error.what()) << "\n  next  "
                        << (deepest() + " --help shows what is possible\n");
      return kExitUsage;
    }
    Session session(surroundings_, options_);
    if (const auto wrong = session.check_options()) return *wrong;
    return chosen_ ? chosen_(session) : run_status(session);
  }

 private:
  CLI::App* command(CLI::App* parent, const std::string& name, const std::string& text,
                    const std::string& examples, Run run) {
    CLI::App* app = parent->add_subcommand(name, text);
    app->fallthrough();
    app->footer("Examples:\n" + examples + "\n" + kExitCodes);
    if (run) {
      app->callback([this, run = std::move(run)] { chosen_ = run; });
    }
    return app;
  }

  /// The command that was meant, as far as its words were understood.
  const CLI::App* innermost() const {
    const CLI::App* at = &app_;
    for (auto found = at->get_subcommands(); !found.empty(); found = at->get_subcommands()) {
      at = found.front();
    }
    return at;
  }
  std::string deepest() const {
    std::string words;
    for (const CLI::App* at = innermost(); at != nullptr; at = at->get_parent()) {
      words = at->get_name() + (words.empty() ? "" : " " + words);
    }
    return words;
  }

  int unexpected() {
    const auto extras = app_.remaining(true);
    const std::string word = extras.empty() ? std::string() : extras.front();
    std::vector<std::string> known;
    for (const auto* sub : innermost()->get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(sub->get_name());
    }
    const auto near = rt::nearest(word, known);
    surroundings_.err << "error: " << deepest() << " has no \"" << printable(word) << "\"\n  next  "
                      << (near ? "did you mean \"" + *near + "\"?"
                               : deepest() + " --help shows what is possible")
                      << "\n";
    return kExitUsage;
  }

  void add_device_side() {
    command(&app_, "status", "This device: controller, generation, peers, drops",
            "  cygnet status\n  cygnet status -o json | jq .peers\n", run_status);
    command(&app_, "peers", "This device's peers, with last proof of life and key age",
            "  cygnet peers\n  cygnet peers -o wide\n", run_peers);
    auto* sa = command(&app_, "sa", "This device's SA pairs with their state and counters",
                       "  cygnet sa\n  cygnet sa hub-1\n",
                       [this](Session& s) { return run_sa(s, name_); });
    sa->add_option("PEER", name_, "only those with this peer");
    auto* ping = command(&app_, "ping", "Probes a peer through the tunnel",
                         "  cygnet ping hub-1\n  cygnet ping hub-1 -c 100 --interval 10ms\n",
                         [this](Session& s) { return run_ping(s, ping_); });
    ping->add_option("PEER", ping_.peer)->required();
    ping->add_option("-c,--count", ping_.count, "how many")
        ->check(CLI::Range(1, 10000))
        ->capture_default_str();
    ping->add_option("--interval", ping_.interval, "time between two")->capture_default_str();
    ping->add_option("--lane", ping_.lane, "which lane")
        ->check(CLI::Range(0, 63))
        ->capture_default_str();
  }

  void add_get() {
    auto* get = command(&app_, "get", "Lists what the controller knows",
                        "  cygnet get devices\n  cygnet get pairs store-0417\n"
                        "  cygnet get policies 3 > mesh.yaml\n",
                        {});
    get->require_subcommand(1);
    struct Row {
      const char* kind;
      const char* alias;
      const char* text;
      const char* example;
    };
    for (const auto& [kind, alias, text, example] :
         {Row{"devices", "device", "Devices: state, counter, labels, prefixes",
              "  cygnet get devices --label role=branch\n  cygnet get devices hub-1 -o yaml\n"},
          Row{"pairs", "pair", "Pairs that the policy allows, and how far each side is",
              "  cygnet get pairs\n  cygnet get pairs hub-1\n"},
          Row{"dims", "dim", "Device Information Messages, decoded",
              "  cygnet get dims\n  cygnet get dims hub-1 -o json\n"},
          Row{"tokens", "token", "Join tokens (never their secrets)", "  cygnet get tokens\n"},
          Row{"policies", "policy", "Policy history; with a version: that document",
              "  cygnet get policies\n  cygnet get policies 3\n"},
          Row{"events", "event", "What happened, oldest first",
              "  cygnet get events\n  cygnet get events --after 1200\n"}}) {
      auto* app = command(get, kind, text, example, [this, name = std::string(kind)](Session& s) {
        get_.kind = name;
        return run_get(s, get_);
      });
      app->alias(alias);
      const std::string which = kind;
      if (which == "policies") {
        app->add_option("VERSION", get_.name)->check(CLI::NonNegativeNumber);
      } else if (which != "tokens" && which != "events") {
        app->add_option("NAME", get_.name, "only this device");
      }
      if (which == "devices") app->add_option("--label", get_.label, "key=value");
      if (which == "events") app->add_option("--after", get_.after, "sequence number");
    }
  }

  void add_policy() {
    auto* plan =
        command(&app_, "plan", "Says what applying a policy would change",
                "  cygnet plan -f mesh.yaml\n", [this](Session& s) { return run_plan(s, file_); });
    plan->add_option("-f,--file", file_, "policy file, - for standard input")->required();
    auto* apply = command(&app_, "apply", "Puts a policy in force",
                          "  cygnet apply -f mesh.yaml\n"
                          "  cygnet apply -f mesh.yaml --expect-version 4\n",
                          [this](Session& s) { return run_apply(s, file_, version_); });
    apply->add_option("-f,--file", file_, "policy file, - for standard input")->required();
    apply->add_option("--expect-version", version_, "refuse if another is in force meanwhile");
    auto* diff = command(&app_, "diff", "Shows policy changes line by line",
                         "  cygnet diff -f mesh.yaml     the policy in force against a file\n"
                         "  cygnet diff                  what the last change was\n"
                         "  cygnet diff 3                version 3 against the present one\n",
                         [this](Session& s) { return run_diff(s, file_, version_); });
    diff->add_option("-f,--file", file_, "policy file, - for standard input");
    diff->add_option("VERSION", version_);
    auto* rollback = command(&app_, "rollback", "Puts an earlier policy in force again",
                             "  cygnet rollback              the version before the present one\n"
                             "  cygnet rollback 3\n",
                             [this](Session& s) { return run_rollback(s, version_); });
    rollback->add_option("VERSION", version_);
  }

  void add_fleet() {
    auto* describe = command(&app_, "describe", "Everything about one thing",
                             "  cygnet describe device hub-1\n", {});
    describe->require_subcommand(1);
    auto* device =
        command(describe, "device", "One device and its pairs", "  cygnet describe device hub-1\n",
                [this](Session& s) { return run_describe_device(s, name_); });
    device->add_option("NAME", name_)->required();

    auto* token =
        command(&app_, "token", "Join tokens", "  cygnet token create --name store-0417\n", {});
    token->require_subcommand(1);
    auto* create = command(token, "create", "Makes a join line for a device",
                           "  cygnet token create --name store-0417\n"
                           "  cygnet token create --label role=branch --uses 20 --ttl 2h\n",
                           [this](Session& s) { return run_token_create(s, token_); });
    create->add_option("--name", token_.name, "the device that may use it");
    create->add_option("--label", token_.labels, "key=value that devices get; may be repeated")
        ->type_size(1)
        ->allow_extra_args(false);
    create->add_option("--ttl", token_.ttl, "how long it is good for, like 24h");
    create->add_option("--uses", token_.uses, "how many devices may use it")
        ->check(CLI::Range(1, 100000));

    auto* rekey = command(&app_, "rekey", "Orders new keys now",
                          "  cygnet rekey store-0417     on the controller: one device\n"
                          "  cygnet rekey --all          on the controller: every device\n"
                          "  cygnet rekey --agent        on a device: itself\n",
                          [this](Session& s) { return run_rekey(s, rekey_); });
    rekey->add_option("NAME", rekey_.name);
    rekey->add_flag("--all", rekey_.all, "every device");
    rekey->add_flag("--agent", rekey_.agent, "this device, asked of its agent");

    auto* revoke = command(&app_, "revoke", "Refuses a device for ever",
                           "  cygnet revoke store-0417\n  cygnet revoke store-0417 --yes\n",
                           [this](Session& s) { return run_revoke(s, name_, yes_); });
    revoke->add_option("NAME", name_)->required();
    revoke->add_flag("-y,--yes", yes_, "do not ask");

    auto* why = command(&app_, "why", "Explains a pair: policy, identities, DIMs, SAs, path",
                        "  cygnet why hub-1 store-0417   on the controller\n"
                        "  cygnet why hub-1              on a device: itself and hub-1\n",
                        [this](Session& s) { return run_why(s, name_, other_); });
    why->add_option("A", name_)->required();
    why->add_option("B", other_);
  }

  void add_debug() {
    auto* debug = command(&app_, "debug",
                          "Derivations, ESP packets and DIMs in the open, to compare "
                          "implementations",
                          std::string(debug::debug_usage()), [this](Session&) {
                            return debug::run_debug(debug_->remaining(), surroundings_.in,
                                                    surroundings_.out, surroundings_.now());
                          });
    debug->prefix_command();
    debug->fallthrough(false);  // its words are its own
    debug_ = debug;
  }

  const Surroundings& surroundings_;
  CLI::App app_;
  Options options_;
  Run chosen_;
  CLI::App* debug_ = nullptr;

  std::string name_;
  std::string other_;
  std::string file_;
  std::optional<std::uint64_t> version_;
  bool yes_ = false;
  GetOptions get_;
  TokenOptions token_;
  RekeyOptions rekey_;
  PingOptions ping_;
};

}  // namespace

int run_cli(std::vector<std::string> arguments, const Surroundings& surroundings) {
  return Commands(surroundings).run(std::move(arguments));
}

}  // namespace cygnet::cli
