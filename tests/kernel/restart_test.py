# SPDX-License-Identifier: Apache-2.0
"""An agent that is killed or stopped, and started again, while its SAs in the kernel go on: nobody notices."""
import array
import fcntl
import json
import os
import signal
import socket

from traffic import TrafficTest

FIRST_FREE = 60   # descriptors above what anything here opens by itself


class ServiceManager:
    """What systemd does with FileDescriptorStoreMax=: keeps descriptors while no process of the service runs."""

    def __init__(self, path):
        self.kept = {}   # name: descriptors
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.path = path

    def close(self):
        self.socket.close()
        for fds in self.kept.values():
            for fd in fds:
                os.close(fd)

    def listen(self):
        """Takes what was said since the last call."""
        while True:
            try:
                text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(64))
            except BlockingIOError:
                return
            said = dict(line.split("=", 1) for line in text.decode().splitlines())
            fds = array.array("i")
            for level, kind, data in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data)
            for fd in self.kept.pop(said["FDNAME"], []) if "FDSTOREREMOVE" in said else []:
                os.close(fd)
            if "FDSTORE" in said:
                self.kept.setdefault(said["FDNAME"], []).extend(fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST_FREE) for fd in fds)
            for fd in fds:
                os.close(fd)

    def start(self, mesh, device):
        """Starts the agent with what is kept, as sd_listen_fds(3) hands it over."""
        self.listen()
        fds = [fd for kept in self.kept.values() for fd in kept]
        names = ":".join(name for name, kept in self.kept.items() for _ in kept)
        moves = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(fds))
        script = f'export LISTEN_PID=$$ LISTEN_FDS={len(fds)} LISTEN_FDNAMES={names}; exec "$@" {moves}'
        return mesh.start_agent(device, wrapper=["bash", "-c", script, "bash"], env={"NOTIFY_SOCKET": self.path}, pass_fds=fds)


class Restart(TrafficTest):
    devices = 2

    def setUp(self):
        super().setUp()
        self.manager = ServiceManager(os.path.join(self.lab.dir, "notify"))
        self.addCleanup(self.manager.close)
        self.mesh.choose_data_planes("kernel")

    def launch(self, device):
        return self.manager.start(self.mesh, device) if device is self.mesh.devices[0] else super().launch(device)

    def came_in(self, device):
        """Packets that have come to its outer link, whoever is there to take them."""
        link = json.loads(self.lab.ip(device.ns, "-j", "-s", "link", "show", "up0").stdout)[0]
        return link["stats64"]["rx"]["packets"]

    def phase(self, name, end):
        """Ends d1's agent by `end`, starts it again when two seconds of traffic came to nobody, and waits until all is new."""
        d1 = self.mesh.devices[0]
        window = self.phases.open(name)
        before = self.mesh.agent_status(d1)["generation"]["counter"]
        end(d1.agent)
        enough = self.came_in(d1) + 2 * self.rate
        self.lab.wait("traffic towards a device without its agent", lambda: self.came_in(d1) >= enough, 30)
        self.manager.start(self.mesh, d1)
        self.phases.await_settled("new generations everywhere")
        window.extra["counters"] = [before, self.mesh.agent_status(d1)["generation"]["counter"]]
        self.phases.close(window)

    def test_an_agent_that_comes_back_loses_nothing(self):
        self.start_mesh()
        capture, pcap = self.capture_underlay()
        self.phases.first_contact(self.start_device)

        def kill(agent):
            agent.send(signal.SIGKILL)
            agent.popen.wait(10)

        self.phase("killed", kill)
        self.phase("stopped", lambda agent: self.assertEqual(agent.stop(), 0))
        logs = self.stop_traffic()
        self.stop_capture(capture)
        figures = self.figures_by_phase(logs)
        for name in ("killed", "stopped"):
            phase = figures[name]
            with self.subTest(name):
                print(f"{name}: sent {phase['sent']}, lost {phase['lost']}, duplicated {phase['duplicated']}, generations "
                      f"{' to '.join(map(str, phase['counters']))}, kernel's errors {phase['kernel_errors']}")
                self.assertGreater(phase["sent"], 0)
                self.assertEqual((phase["lost"], phase["duplicated"]), (0, 0), phase)
                self.assertEqual(phase["kernel_errors"], {"d1": {}, "d2": {}})
        self.tcp_is_intact(logs)
        self.nothing_in_clear(pcap)
