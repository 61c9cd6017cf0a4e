# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Python device share: a mesh in namespaces in which d1 is a real agent and the
others are Python devices, all of them driven by the test's one thread."""
import contextlib
import ctypes
import ipaddress
import os
import select
import socket
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "e2e"))

from support import CONTROL_PORT, LabError, MeshTest  # noqa: E402

from pydevice import device, inner, keymat, state, stream  # noqa: E402

MESSAGES = stream.compile_messages(os.path.join(TOP, "docs", "protocol.md"))
MANY = 200                      # datagrams a direction
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def in_namespace(name):
    """Sockets made inside belong to the network namespace, for as long as they live."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{name}") as there:
        if _LIBC.setns(there.fileno(), _CLONE_NEWNET):
            raise LabError(f"setns {name}: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            if _LIBC.setns(home.fileno(), _CLONE_NEWNET):
                os._exit(70)  # the test must not go on in a namespace that is not its own


class Loop:
    """Turns the Python devices and the traffic until a condition holds."""

    def __init__(self):
        self.parts = []

    def turn(self, timeout=0.002):
        readable = [f for part in self.parts for f in part.filenos()]
        ready = select.select(readable, [], [], timeout)[0]
        for part in self.parts:
            if any(f in ready for f in part.filenos()):
                part.on_readable()
            part.tick()

    def until(self, what, condition, timeout=60, describe=lambda: ""):
        deadline = time.monotonic() + timeout
        next_look = 0.0
        while True:
            self.turn()
            if time.monotonic() >= next_look:  # conditions may ask the agent: not at every turn
                next_look = time.monotonic() + 0.03
                try:
                    value = condition()
                except (OSError, ValueError, KeyError) as error:
                    value, describe = None, lambda error=error: repr(error)
                if value:
                    return value
            if time.monotonic() > deadline:
                raise LabError(f"waited {timeout} s for {what} {describe()}")


class Flow:
    """Sequence-numbered datagrams, both ways, between the agent's kernel and a Python device."""
    PORT = 7007

    def __init__(self, mesh_device, there, python_device, here, gap=0.005):
        family = socket.AF_INET6 if there.version == 6 else socket.AF_INET
        with in_namespace(mesh_device.ns):
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((str(there), self.PORT))
        self.socket.setblocking(False)
        self.there, self.here, self.device = there, here, python_device
        self.gap = gap
        self.next_at = None
        self.sent = 0                   # each way
        self.running = False
        self.at_device, self.at_agent = [], []
        python_device.on_datagram = self._on_datagram

    def _on_datagram(self, packet, src_port, dst_port, data):
        if dst_port == self.PORT and packet.src == self.there:
            self.at_device.append(int.from_bytes(data[:8], "big"))

    def filenos(self):
        return [self.socket.fileno()]

    def on_readable(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.at_agent.append(int.from_bytes(self.socket.recv(2048)[:8], "big"))

    def tick(self):
        now = time.monotonic()
        if not self.running or self.next_at is not None and now < self.next_at:
            return
        self.next_at = now + self.gap
        data = self.sent.to_bytes(8, "big") + bytes(self.sent % 64)
        self.socket.sendto(data, (str(self.here), self.PORT))
        self.device.send(inner.udp(self.here, self.PORT, self.there, self.PORT, data))
        self.sent += 1

    def lost(self):
        """What has not arrived of either direction."""
        sent = set(range(self.sent))
        return sent - set(self.at_device), sent - set(self.at_agent)

    def whole(self):
        return not any(self.lost())

    def duplicates(self):
        return len(self.at_device) - len(set(self.at_device)), len(self.at_agent) - len(set(self.at_agent))

    def close(self):
        self.socket.close()


class DeviceTest(MeshTest):
    """d1 is the real agent; join_python() makes a Python device of another one."""

    def setUp(self):
        super().setUp()
        self.loop = Loop()
        self.real = self.mesh.devices[0]

    # -- steps ---------------------------------------------------------------------------------
    def policy(self, **settings):
        """A policy document; `settings` are its top-level keys."""
        base = {"mesh": "demo", "proposals": "[aes256gcm16-x25519-sha256]",
                "rekey": "{every: 1h, jitter: 10%}", "drain": "500ms",
                "rules": "[{from: role=site, to: role=site}]"}
        lines = [f"{k}: {v}" for k, v in {**base, **settings}.items()] + ["devices:"]
        for d in self.mesh.devices:
            prefixes = ", ".join(f'"{p}"' for p in d.prefixes)
            lines.append(f"  - {{name: {d.name}, labels: {{role: site}}, prefixes: [{prefixes}], "
                         f'endpoints: ["{d.endpoint}"]}}')
        return "\n".join(lines) + "\n"

    def apply(self, **settings):
        path = os.path.join(self.lab.dir, "mesh.yaml")
        with open(path, "w") as f:
            f.write(self.policy(**settings))
        self.mesh.cygnet("apply", "-f", path)

    def join_line(self, d):
        made = self.mesh.ctl("POST", "/api/v1/tokens", {"name": d.name})
        return made["join_line"].split()[-1]

    def place(self, d):
        return lambda: in_namespace(d.ns)

    def join_python(self, d, key_kind="p256", line=None, name=""):
        return state.join(d.state, line or self.join_line(d), MESSAGES, key_kind, self.place(d), name)

    def start_python(self, d, **options):
        address = d.endpoint.rsplit(":", 1)[0]
        made = device.Device(d.state, MESSAGES, address, inner_addresses=(d.inner4, d.inner6),
                             place=self.place(d), **options)
        made.start()
        self.loop.parts.append(made)
        self.addCleanup(made.close)
        return made

    def stop_python(self, made):
        self.loop.parts.remove(made)
        made.close()

    def flow(self, python_device, d, version=6, **options):
        pick = (lambda x: x.inner6) if version == 6 else (lambda x: x.inner4)
        made = Flow(self.real, ipaddress.ip_address(pick(self.real)), python_device,
                    ipaddress.ip_address(pick(d)), **options)
        self.loop.parts.append(made)
        self.addCleanup(made.close)
        return made

    # -- what is true now ----------------------------------------------------------------------
    def agent_peer(self, name):
        items = self.real.api("GET", "/api/v1/peers")["items"]
        return next((i for i in items if i["name"].split(".")[0] == name), None)

    def agent_pairs(self, name):
        return {i["pair"] for i in self.real.api("GET", f"/api/v1/sa?peer={name}")["items"]}

    def settled(self, python_device, d):
        """Both ends on newest x newest, proven, one SA pair left."""
        peer = python_device.peers.get(f"{self.real.name}.demo")
        if peer is None or not peer.rekey.confirmed or len(peer.rekey.pairs) != 1:
            return False
        newest = (python_device.newest.counter, max(peer.rekey.remotes))
        seen = self.agent_peer(d.name)
        return (peer.rekey.chosen == newest and seen is not None and seen["state"] == "up"
                and seen["newest_on_newest"] and seen["confirmed"] and seen["pairs"] == 1)


class PairTest(DeviceTest):
    """A settled pair: d1, the agent, and d2, in Python."""
    settings = {}
    key_kind = "p256"
    options = {}                # of the Python device

    def setUp(self):
        super().setUp()
        self.start_pair(**self.settings)

    def start_pair(self, **settings):
        self.start_controller(self.policy(**settings))
        self.second = self.mesh.devices[1]
        self.mesh.join(self.real)
        self.mesh.start_agent(self.real)
        self.leaf = self.join_python(self.second, self.key_kind)
        self.python = self.start_python(self.second, **self.options)
        self.await_settled()

    def await_settled(self, timeout=60):
        self.loop.until("the pair settled", lambda: self.settled(self.python, self.second), timeout,
                        lambda: str((self.rekey.describe(), dict(self.python.counters),
                                     self.agent_peer("d2"))))

    @property
    def rekey(self):
        return self.python.peers["d1.demo"].rekey

    def drops(self):
        """Every packet either end lost since it started, by name."""
        names = ("unknown-spi", "replay", "icv", "padding", "inner-source", "inner-destination",
                 "inner-version", "inner-length", "next-header", "no-route", "seq-overflow")
        return (self.real.api("GET", "/api/v1/status")["drops"],
                {n: self.python.counters[n] for n in names})

    def flow(self, *args, **options):
        made = super().flow(*args, **options)
        made.drops_before = self.drops()
        return made

    def carry(self, flow, packets):
        """That many more packets a direction."""
        goal = flow.sent + packets
        flow.running = True
        self.loop.until(f"{packets} packets to be sent", lambda: flow.sent >= goal, 120)

    def finish(self, flow):
        """Everything that was sent has arrived, once."""
        flow.running = False
        try:
            self.loop.until("the last packets", flow.whole, 10)
        except LabError:
            self.fail(f"lost {flow.lost()} of {flow.sent}: {dict(self.python.counters)} "
                      f"{self.rekey.describe()} {self.real.api('GET', '/api/v1/status')['drops']}")
        self.assertEqual(flow.duplicates(), (0, 0))
        self.assertEqual(self.drops(), flow.drops_before)

    # -- rekeys --------------------------------------------------------------------------------
    def roll_python(self):
        before = self.python.newest.counter
        self.python.roll_over()
        self.loop.until("a new generation", lambda: self.python.newest.counter > before)

    def roll_agent(self):
        before = max(self.rekey.remotes)
        self.real.api("POST", "/api/v1/rekey")
        self.loop.until("the agent's new DIM", lambda: max(self.rekey.remotes) > before)

    def cross(self):
        """Both rekey, and neither hears of it before both have published."""
        before = self.python.newest.counter, max(self.rekey.remotes)
        self.mesh.ctl("POST", "/api/v1/test/hold-relay", {"publishes": 2})
        self.real.api("POST", "/api/v1/rekey")
        self.python.roll_over()
        self.loop.until("both DIMs to cross", lambda: self.python.newest.counter > before[0]
                        and max(self.rekey.remotes) > before[1])

    def command(self, name, *command):
        """Runs a program beside the agent while the devices go on; its exit code and output."""
        process = self.lab.start(name, list(command), ns=self.real.ns)
        self.loop.until(name, lambda: not process.alive(), 60)
        return process.popen.returncode, process.tail(100)
