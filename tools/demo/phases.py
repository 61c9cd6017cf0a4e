# SPDX-License-Identifier: Apache-2.0
"""The demo's phases: what is done to the mesh, and the windows the figures are computed for."""
import os
import signal
import time

from lab import LabError
from mesh import Mesh

# A device whose agent is dead answers nothing; these are the waits that phases may take (seconds).
SETTLE_S = 60
AWAY_S = 30
PHASES = ("first_contact", "single_rekey", "double_rekey", "all_rekey", "controller_down", "agent_crash", "revoke")


def backlog_dropped():
    """Packets that this kernel dropped before any protocol saw them, since its processors had too many (softnet_stat)."""
    with open("/proc/net/softnet_stat") as f:
        return sum(int(line.split()[1], 16) for line in f)


class Window:
    def __init__(self, name):
        self.name = name
        self.start_ns = time.monotonic_ns()
        self.end_ns = None
        self.from_first_received = False
        self.mark_ns = 0
        self.quiet_after_ns = 0
        self.touched = set()   # device numbers whose pairs the phase may disturb
        self.drops = {}
        self.backlog_dropped = 0
        self.kernel_errors = {}   # device: {counter: rise}
        self.extra = {}

    def as_json(self):
        return {k: getattr(self, k) for k in
                ("name", "start_ns", "end_ns", "from_first_received", "mark_ns", "quiet_after_ns")}


class Phases:
    def __init__(self, mesh: Mesh, say):
        self.mesh = mesh
        self.lab = mesh.lab
        self.say = say
        self.windows = []
        self.rekeys = 0

    # -- helpers -------------------------------------------------------------------------------
    def open(self, name):
        self.await_settled(f"all pairs settled before {name}") if self.windows else None
        window = Window(name)
        window.drops_before = self.mesh.drops()
        window.backlog_before = backlog_dropped()
        window.kernel_errors_before = self.mesh.kernel_errors()
        return window

    def close(self, window, devices=None):
        window.end_ns = time.monotonic_ns()
        window.backlog_dropped = backlog_dropped() - window.backlog_before
        after = self.mesh.drops()
        before = window.drops_before
        window.drops = {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
        for name, now in self.mesh.kernel_errors().items():
            rose = {k: n - window.kernel_errors_before[name].get(k, 0) for k, n in now.items()}
            window.kernel_errors[name] = {k: n for k, n in rose.items() if n}
        self.windows.append(window)
        seconds = (window.end_ns - window.start_ns) / 1e9
        self.say(f"  {window.name}: {seconds:.1f} s")

    def await_settled(self, what, devices=None):
        try:
            return self.lab.wait(what, lambda: self.mesh.settled(devices), SETTLE_S, every=0.2,
                                 watch=[d.agent for d in (devices or self.mesh.devices)])
        except LabError as error:
            raise LabError("\n  ".join([str(error), *self.mesh.unsettled()])) from error

    def counters(self):
        return {d.name: self.mesh.agent_status(d)["generation"]["counter"] for d in self.mesh.devices}

    def await_rekeyed(self, before, names, devices=None):
        """Every named device is on a newer accepted generation and all its pairs are newest x newest."""
        def done():
            now = self.counters()
            return all(now[n] != before[n] for n in names) and self.mesh.newest_on_newest(devices)
        self.lab.wait(f"{', '.join(names)} on a new generation everywhere", done, SETTLE_S, every=0.05,
                      watch=[d.agent for d in (devices or self.mesh.devices)])
        self.rekeys += len(names)

    # -- phases --------------------------------------------------------------------------------
    def first_contact(self, start_next):
        """Agents and traffic start one device after another: first packets meet peers not there yet."""
        window = self.open("first_contact")
        window.from_first_received = True
        for device in self.mesh.devices:
            start_next(device)
        self.await_settled("every pair up")
        window.extra["pairs_up"] = self.mesh.pairs_up()
        time.sleep(1)  # a second of steady traffic belongs to what is measured
        self.close(window)

    def single_rekey(self):
        window = self.open("single_rekey")
        window.touched = {1}
        before = self.counters()
        self.mesh.cygnet("rekey", "d1")
        self.await_rekeyed(before, ["d1"])
        self.await_settled("the old pairs drained")
        self.close(window)

    def crossing(self, name, names):
        window = self.open(name)
        before = self.counters()
        self.mesh.ctl("POST", "/api/v1/test/hold-relay", {"publishes": len(names)})
        self.say(f"  (the relay holds until {len(names)} publishes are durable)")
        if len(names) == len(self.mesh.devices):
            self.mesh.cygnet("rekey", "--all")
        else:
            for n in names:
                self.mesh.cygnet("rekey", n)
        self.await_rekeyed(before, names)
        hold = self.mesh.ctl("GET", "/api/v1/test/hold-relay")
        window.extra["held_publishes"] = hold["publishes"]
        self.await_settled("the old pairs drained")
        status = {d.name: self.mesh.agent_status(d) for d in self.mesh.devices}
        most = {n: status[n]["sa_pairs_per_peer_max"] for n in names}
        # Nobody was told of another's DIM before every publish was durable. Of two ends, the one told first has
        # four SA pairs; the other may have heard it use its new DH value by then (Rule 3), and needs only three.
        window.extra["crossed"] = not hold["held"] and hold["publishes"] >= len(names) and max(most.values()) >= 4
        self.close(window)

    def controller_down(self):
        window = self.open("controller_down")
        before = self.counters()
        killed = self.mesh.controller
        self.mesh.ctl("POST", "/api/v1/test/crash-after-durable", {})
        self.say("  (the controller will kill itself with -9 between durable and acknowledge)")
        self.mesh.cygnet("rekey", "d1", check=False)
        self.lab.wait("the controller's death", lambda: not killed.alive(), 20, every=0.02)
        if killed.popen.returncode != -signal.SIGKILL:
            raise LabError(f"cygnetd ended with {killed.popen.returncode}, not by SIGKILL:\n{killed.tail()}")
        away_from = time.monotonic()
        ordered = [d for d in self.mesh.devices if d.name in ("d2", "d3")]
        for device in ordered:
            self.mesh.command("cygnet", "--agent-socket", device.socket, "rekey", "--agent")
        while time.monotonic() - away_from < AWAY_S:
            time.sleep(0.5)
        # Ordered while the controller was away, and not accepted by anybody yet.
        deferred = [d for d in self.mesh.devices if self.mesh.agent_status(d)["generation"]["state"] != "accepted"]
        window.extra["rekeys_deferred"] = len([d for d in deferred if d in ordered])
        window.extra["unacknowledged_at_kill"] = len([d for d in deferred if d not in ordered])
        self.mesh.start_controller()
        self.say("$ cygnetd run …          (again, after 30 s)")
        self.mesh.await_controller()
        answered_ns = time.monotonic_ns()
        self.await_rekeyed(before, ["d1"] + [d.name for d in ordered])
        window.extra["settled_ms"] = round((time.monotonic_ns() - answered_ns) / 1e6, 1)
        self.await_settled("the old pairs drained")
        self.close(window)

    def agent_crash(self):
        victim = self.mesh.devices[1]
        window = self.open("agent_crash")
        window.touched = {victim.number}
        self.say(f"$ kill -9 <cygnet-agent of {victim.name}>")
        victim.agent.send(signal.SIGKILL)
        victim.agent.popen.wait(5)
        time.sleep(2)  # traffic goes on towards a dead agent: nothing of it may appear in clear
        window.mark_ns = time.monotonic_ns()
        self.mesh.start_agent(victim)
        self.await_settled(f"{victim.name} back on every pair")
        self.close(window)

    def revoke(self):
        victim = self.mesh.devices[-2] if len(self.mesh.devices) > 2 else self.mesh.devices[-1]
        rest = [d for d in self.mesh.devices if d is not victim]
        window = self.open("revoke")
        window.touched = {victim.number}
        self.mesh.cygnet("revoke", victim.name)
        window.quiet_after_ns = time.monotonic_ns() + 2_000_000_000
        time.sleep(5)
        self.lab.wait("the others still up", lambda: self.mesh.settled(rest, len(rest) - 1), SETTLE_S, every=0.2)
        self.close(window)
