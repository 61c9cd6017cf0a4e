# SPDX-License-Identifier: Apache-2.0
"""Tunnels to measure: each joins two namespaces of its own over a virtual cable of its own.

A tunnel, once up, has `client` and `server` (namespaces), `address` (the server's, inside), `pids`
(the programs that carry the packets) and `outer` (the cable's device at either end). What is idle
costs the others nothing, so all of them stand while one is measured.
"""
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))
from lab import LabError  # noqa: E402
from mesh import ESP_PORT, Device, Mesh  # noqa: E402


class Tunnel:
    """The cable alone is a tunnel too: what nothing can be faster than."""
    name = "veth"
    packages = ()
    count = 0

    def __init__(self, lab):
        Tunnel.count += 1
        self.lab = lab
        self.tag = f"{self.name[:6].replace('-', '')}{Tunnel.count}"
        self.pids = []
        self.outer = "u0"

    def cable(self):
        self.client, self.server = (self.lab.namespace(f"{self.tag}{end}") for end in "ab")
        self.lab.veth(self.client, "u0", ["192.0.2.1/24"], self.server, "u0", ["192.0.2.2/24"])
        for ns in (self.client, self.server):
            self.lab.run(["ip", "netns", "exec", ns, "ethtool", "-K", "u0", "tx-udp-segmentation", "on"])
        self.address = "192.0.2.2"

    def start(self, name, command, ns, env=None):
        process = self.lab.start(f"{self.tag}-{name}", command, ns=ns, env=env)
        self.pids.append(process.pid)
        return process

    def up(self):
        self.cable()

    def version(self):
        return os.uname().release

    def reachable(self):
        done = self.lab.run(["ip", "netns", "exec", self.client, "ping", "-c", "1", "-W", "1", self.address], check=False)
        return done.returncode == 0

    def await_up(self):
        watch = [p for p in self.lab.processes if p.pid in self.pids]
        self.lab.wait(f"{self.name} to carry a packet", self.reachable, 30, watch=watch)

    def segmentation(self, on):
        """Whether datagrams may cross the cable uncut, 64 KB at a time, as no wire allows."""
        for ns in (self.client, self.server):
            self.lab.run(["ip", "netns", "exec", ns, "ethtool", "-K", self.outer, "tx-udp-segmentation",
                          "on" if on else "off"])


class TwoDevices(Mesh):
    """Two devices on one cable; the controller beside the first."""

    def __init__(self, lab, bin_dir, namespaces, addresses):  # noqa: the underlay of Mesh is another one
        self.lab, self.bin, self.say = lab, bin_dir, lambda words: None
        self.controller_state = os.path.join(lab.dir, "controller")
        self.controller_socket = os.path.join(lab.dir, "cygnetd.sock")
        self.controller_address, self.controller_ns = addresses[0], namespaces[0]
        self.devices = []
        for number, (ns, address) in enumerate(zip(namespaces, addresses), 1):
            device = Device(number, ns, lab.dir)
            device.endpoint = f"{address}:{ESP_PORT}"
            lab.ip(ns, "addr", "add", f"{device.inner4}/32", "dev", "lo")
            self.devices.append(device)


class Cygnet(Tunnel):
    name = "cygnet"

    def __init__(self, lab, bin_dir):
        super().__init__(lab)
        self.bin = bin_dir

    def up(self):
        self.cable()
        mesh = TwoDevices(self.lab, self.bin, [self.client, self.server], ["192.0.2.1", "192.0.2.2"])
        mesh.init_controller()
        mesh.start_controller()
        mesh.await_controller()
        mesh.cygnet("apply", "-f", mesh.write_policy())
        for device in mesh.devices:
            mesh.join(device)
            mesh.start_agent(device)
        self.lab.wait("the pair to come up", mesh.settled, 30, watch=[d.agent for d in mesh.devices])
        self.mesh = mesh
        self.pids = [d.agent.pid for d in mesh.devices]
        self.address = mesh.devices[1].inner4

    def rekey(self):
        """Both ends at once; returns when both are on their newest keys."""
        self.mesh.ctl("POST", "/api/v1/rekey", {})
        self.lab.wait("the rekey", self.mesh.newest_on_newest, 30, every=0.3)

    def generations(self):
        return [self.mesh.agent_status(d)["generation"]["counter"] for d in self.mesh.devices]

    def lost(self):
        """Packets lost anywhere in the two data planes, whatever the reason."""
        return sum(self.mesh.drops().values())

    def version(self):
        return self.lab.run([os.path.join(self.bin, "cygnet"), "--version"]).stdout.split()[-1]


class WireguardGo(Tunnel):
    name = "wireguard-go"
    packages = ("wireguard-go", "wireguard-tools")

    def __init__(self, lab, binary="wireguard-go", name=None):
        if name:
            self.name = name
        super().__init__(lab)
        self.binary = binary

    def up(self):
        self.cable()
        ends = []
        for end, ns in enumerate((self.client, self.server)):
            device = f"w{self.tag[:8]}{end}"
            key = self.lab.run(["wg", "genkey"]).stdout.strip()
            path = os.path.join(self.lab.dir, f"{device}.key")
            with open(path, "w") as f:
                f.write(key)
            public = self.lab.run(["wg", "pubkey"], input=key).stdout.strip()
            self.start(f"end{end}", [self.binary, "-f", device], ns)
            ends.append((ns, device, path, public))
        for end, (ns, device, key, _) in enumerate(ends):
            self.lab.wait("wireguard-go's device", lambda: self.lab.run(
                ["ip", "-n", ns, "link", "show", device], check=False).returncode == 0, 10)
            self.lab.wait("wireguard-go's socket", lambda: self.lab.run(
                ["ip", "netns", "exec", ns, "wg", "show", device], check=False).returncode == 0, 10)
            self.lab.run(["ip", "netns", "exec", ns, "wg", "set", device, "listen-port", "51820", "private-key", key,
                          "peer", ends[1 - end][3], "allowed-ips", f"10.9.0.{2 - end}/32",
                          "endpoint", f"192.0.2.{2 - end}:51820"])
            self.lab.ip(ns, "addr", "add", f"10.9.0.{end + 1}/24", "dev", device)
            self.lab.ip(ns, "link", "set", device, "mtu", "1400", "up")
        self.address = "10.9.0.2"

    def version(self):
        return self.lab.run([self.binary, "--version"], check=False).stdout.split("\n")[0].split()[-1]


class Nebula(Tunnel):
    name = "nebula"
    packages = ("nebula",)

    def up(self):
        self.cable()
        home = os.path.join(self.lab.dir, self.tag)
        os.makedirs(home)
        self.lab.run(["nebula-cert", "ca", "-name", "bench"], cwd=home)
        for end, ns in enumerate((self.client, self.server)):
            self.lab.run(["nebula-cert", "sign", "-name", f"end{end}", "-ip", f"10.9.1.{end + 1}/24"], cwd=home)
            other = 1 - end
            config = f"""
pki: {{ca: {home}/ca.crt, cert: {home}/end{end}.crt, key: {home}/end{end}.key}}
static_host_map: {{"10.9.1.{other + 1}": ["192.0.2.{other + 1}:4242"]}}
lighthouse: {{am_lighthouse: false}}
listen: {{host: 0.0.0.0, port: 4242, batch: 64, read_buffer: 10485760, write_buffer: 10485760}}
tun: {{dev: n{self.tag[:8]}{end}, mtu: 1400, tx_queue: 4096}}
cipher: aes
logging: {{level: warning, format: text}}
firewall: {{outbound: [{{port: any, proto: any, host: any}}], inbound: [{{port: any, proto: any, host: any}}]}}
"""
            path = os.path.join(home, f"end{end}.yml")
            with open(path, "w") as f:
                f.write(config)
            self.start(f"end{end}", ["nebula", "-config", path], ns)
        self.address = "10.9.1.2"

    def version(self):
        return self.lab.run(["nebula", "-version"]).stdout.split()[-1]


class StrongSwan(Tunnel):
    """charon with kernel-libipsec: ESP in a user program, as on this machine's kernel without ESP."""
    name = "strongswan"
    packages = ("strongswan-charon", "strongswan-swanctl", "libcharon-extra-plugins", "libstrongswan-standard-plugins")

    def up(self):
        self.cable()
        for end, ns in enumerate((self.client, self.server)):
            home = os.path.join(self.lab.dir, f"{self.tag}-{end}")
            os.makedirs(os.path.join(home, "run"))
            me, other = end + 1, 2 - end
            with open(os.path.join(home, "strongswan.conf"), "w") as f:
                f.write(f"""
charon {{
  load = random nonce openssl pem pkcs1 x509 revocation constraints pubkey aes sha1 sha2 gcm hmac kdf kernel-libipsec kernel-netlink socket-default vici
  install_virtual_ip = no
  filelog {{ stderr {{ default = 1 }} }}
  plugins {{ vici {{ socket = unix://{home}/vici }} kernel-netlink {{ fwmark = !0x42 }} socket-default {{ fwmark = 0x42 }} kernel-libipsec {{ allow_peer_ts = yes }} }}
}}
swanctl {{ socket = unix://{home}/vici }}
""")
            with open(os.path.join(home, "swanctl.conf"), "w") as f:
                f.write(f"""
connections {{ bench {{
  version = 2
  local_addrs = 192.0.2.{me}
  remote_addrs = 192.0.2.{other}
  proposals = aes128-sha256-ecp256
  local {{ auth = psk
    id = end{me} }}
  remote {{ auth = psk
    id = end{other} }}
  children {{ net {{
    local_ts = 10.9.2.{me}/32
    remote_ts = 10.9.2.{other}/32
    esp_proposals = aes128gcm16
    start_action = {"start" if end == 0 else "none"} }} }}
}} }}
secrets {{ ike-bench {{ secret = "bench-only" }} }}
""")
            self.lab.ip(ns, "addr", "add", f"10.9.2.{me}/32", "dev", "lo")
            env = {"STRONGSWAN_CONF": os.path.join(home, "strongswan.conf")}
            # A run directory of its own: charon refuses to start beside another one's pid file.
            self.start(f"end{end}", ["unshare", "-m", "sh", "-c",
                                     f"mount --bind {home}/run /run && exec /usr/lib/ipsec/charon"], ns, env)
            self.lab.wait("charon's socket", lambda: os.path.exists(os.path.join(home, "vici")), 10)
        for end in (1, 0):
            home = os.path.join(self.lab.dir, f"{self.tag}-{end}")
            self.lab.run(["swanctl", "--load-all", "--uri", f"unix://{home}/vici", "--file",
                          os.path.join(home, "swanctl.conf")],
                         env={**os.environ, "STRONGSWAN_CONF": os.path.join(home, "strongswan.conf")})
        self.address = "10.9.2.2"

    def version(self):
        shown = self.lab.run(["dpkg-query", "-W", "-f", "${Version}", "strongswan-charon"], check=False).stdout
        return shown.split("-")[0]


def available(tunnel):
    """None, or what is missing."""
    program = {"wireguard-go": "wireguard-go", "nebula": "nebula", "strongswan": "swanctl"}.get(tunnel)
    if program and not shutil.which(program):
        raise LabError(f"{tunnel}: {program} is not installed")
