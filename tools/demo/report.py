# SPDX-License-Identifier: Apache-2.0
"""From windows, raw logs and the capture to the report: JSON, verdicts, and a table to read."""
import json
import os
import subprocess

from phases import PHASES


def figures(bin_dir, phases_path, logs):
    tool = os.path.join(bin_dir, "cygnet-traffic")
    out = subprocess.run([tool, "figures", "--phases", phases_path, *logs], text=True, capture_output=True, check=True)
    return json.loads(out.stdout)


# What the kernel's IPsec may count in a phase, and why. Everywhere else its error counters stand still.
# XfrmInStateProtoError: a dummy of a userspace peer, dropped by design (docs/drops.md); never from a kernel's device.
KERNEL_ERRORS = {
    # A device whose agent is away is closed, and gets what peers send on SAs that it has lost.
    "agent_crash": {"XfrmInNoStates", "XfrmOutPolBlock"},
    # The revoked device and the others part one after the other.
    "revoke": {"XfrmInNoStates", "XfrmOutPolBlock"},
}


def unexplained_kernel_errors(name, phase, dummies):
    """{device: {counter: rise}} of what no sentence here explains."""
    explained = KERNEL_ERRORS.get(name, set()) | ({"XfrmInStateProtoError"} if dummies else set())
    if only_refusals_unheld(phase):
        explained = explained | {"XfrmOutNoStates"}
    found = {d: {k: n for k, n in rose.items() if k not in explained} for d, rose in phase["kernel_errors"].items()}
    return {d: rose for d, rose in found.items() if rose}


def only_refusals_unheld(phase):
    """While a device's first SA is on its way, the kernel holds packets, but not the ICMP errors it makes itself: those
    for datagrams that came before their receiver listened. There cannot be more of them than such datagrams."""
    return sum(rose.get("XfrmOutNoStates", 0) for rose in phase["kernel_errors"].values()) <= phase.get("before_first", 0)


def capture(bin_dir, path, control_port, inner):
    tool = os.path.join(bin_dir, "cygnet-traffic")
    args = [x for prefix in inner for x in ("--inner", prefix)]
    out = subprocess.run([tool, "capture", "--file", path, "--control-port", str(control_port), *args],
                         text=True, capture_output=True, check=True)
    return json.loads(out.stdout)


def split_drops(drops):
    """Held packets dropped before a direction's first received one are told apart (held_dropped)."""
    rest = dict(drops)
    held = 0
    for name in ("held_dropped", "held-dropped"):
        held += rest.pop(name, 0)
    return rest, held


def build(windows, by_phase, expected_directions):
    """One object a phase, as docs/demo.md lists the keys."""
    out = {}
    for w in windows:
        rows = by_phase.get(w.name, [])
        drops, held = split_drops(w.drops)
        others = [r for r in rows if r["from"] not in w.touched and r["to"] not in w.touched]
        touched = [r for r in rows if r not in others]
        phase = {
            "sent": sum(r["sent"] for r in rows), "received": sum(r["received"] for r in rows),
            "lost": sum(r["lost"] for r in rows), "duplicated": sum(r["duplicated"] for r in rows),
            "others_lost": sum(r["lost"] for r in others) if w.touched else 0,
            "directions": len(rows), "directions_received": sum(1 for r in rows if r["ever_received"]),
            "drops": drops, "held_dropped": held,
            "seconds": round((w.end_ns - w.start_ns) / 1e9, 1), "kernel_errors": w.kernel_errors,
            "backlog_dropped": w.backlog_dropped,
        }
        if w.mark_ns:
            times = [r["recovered_after_ms"] for r in touched]
            phase["recovery_ms"] = None if not times or None in times else round(max(times), 1)
        else:
            counted = others if w.name == "revoke" else rows
            phase["recovery_ms"] = round(max((r["gap_max_ms"] for r in counted), default=0), 1)
        if w.quiet_after_ns:
            phase["received_after_2s"] = sum(r["received_after_quiet"] for r in touched)
        if w.name == "first_contact":
            phase["before_first"] = sum(r["before_first"] for r in rows)
        phase.update(w.extra)
        phase["expected_directions"] = expected_directions
        out[w.name] = phase
    return out


def verdicts(report, time_limits=True):
    """(what, holds, seen) for every promise of the demo; `holds` is None for one that is not judged."""
    rows = []

    def check(what, holds, seen):
        rows.append((what, bool(holds), seen))

    def check_time(what, seen_ms, limit_ms):
        there = seen_ms is not None
        rows.append((what, seen_ms <= limit_ms if there and time_limits else None if there else False, f"{seen_ms} ms"))

    check("every pair up", report["pairs_up"] == report["pairs_expected"],
          f"{report['pairs_up']} of {report['pairs_expected']}")
    for name in ("first_contact", "single_rekey", "double_rekey", "all_rekey", "controller_down"):
        p = report[name]
        check(f"{name}: nothing lost", p["lost"] == 0 and p["sent"] > 0 and
              p["directions_received"] == p["expected_directions"], f"{p['lost']} of {p['sent']}" +
              (f" (the machine's backlog dropped {p['backlog_dropped']})" if p["backlog_dropped"] else ""))
        check(f"{name}: nothing duplicated", p["duplicated"] == 0, p["duplicated"])
        drops = {k: n for k, n in p["drops"].items() if k != "xfrm-out-no-states" or not only_refusals_unheld(p)}
        check(f"{name}: no drop counted", not drops, p["drops"] or "none")
    if "kernel" in report["data_planes"]:
        dummies = "userspace" in report["data_planes"]
        for name in PHASES:
            unexplained = unexplained_kernel_errors(name, report[name], dummies)
            check(f"{name}: kernel's IPsec errors explained", not unexplained, unexplained or report[name]["kernel_errors"])
    for name in ("double_rekey", "all_rekey"):
        check(f"{name}: DIMs crossed", report[name]["crossed"], report[name]["crossed"])
    check("SA pairs per peer, most", report["sa_pairs_per_peer_max"] == 4, report["sa_pairs_per_peer_max"])
    down = report["controller_down"]
    check("controller away: rekeys deferred", down["rekeys_deferred"] >= 2, down["rekeys_deferred"])
    check_time("controller back: settled", down["settled_ms"], 5000)
    crash = report["agent_crash"]
    check_time("agent killed: recovered", crash["recovery_ms"], 2000)
    check("agent killed: other pairs lose nothing", crash["others_lost"] == 0, crash["others_lost"])
    revoke = report["revoke"]
    check("revoked: other pairs lose nothing", revoke["others_lost"] == 0, revoke["others_lost"])
    check("revoked: nothing passes after 2 s", revoke["received_after_2s"] == 0, revoke["received_after_2s"])
    check("clear-text packets on the underlay", report["cleartext_packets"] == 0, report["cleartext_packets"])
    check("unexplained packets on the underlay", report["unexplained_packets"] == 0, report["unexplained_packets"])
    check("(SPI, IV) pairs seen twice", report["iv_repeats"] == 0, report["iv_repeats"])
    check("capture complete", report["capture_dropped"] == 0, f"{report['capture_dropped']} dropped")
    check("ESP seen", report["esp_packets"] > 0, report["esp_packets"])
    check("TCP flows intact", report["tcp"]["wrong_octets"] == 0 and report["tcp"]["received_octets"] > 0,
          f"{report['tcp']['received_octets'] / 1e6:.1f} MB")
    check("DH private values alive, most", report["dh_private_values_alive_max"] <= 3,
          report["dh_private_values_alive_max"])
    return rows


def table(report, rows, windows):
    lines = ["", f"{'phase':<17}{'seconds':>8}{'sent':>10}{'received':>10}{'lost':>6}{'twice':>6}{'worst gap':>11}  drops"]
    for w in windows:
        p = report[w.name]
        worst = f"{p['recovery_ms']} ms" if p["recovery_ms"] is not None else "never"
        drops = ", ".join(f"{k} {v}" for k, v in sorted(p["drops"].items())) or "-"
        lines.append(f"{w.name:<17}{p['seconds']:>8}{p['sent']:>10}{p['received']:>10}{p['lost']:>6}"
                     f"{p['duplicated']:>6}{worst:>11}  {drops}")
    lines.append("")
    for what, holds, seen in rows:
        lines.append(f"  {'-   ' if holds is None else 'ok  ' if holds else 'FAIL'} {what}: {seen}")
    lines.append("")
    return "\n".join(lines)
