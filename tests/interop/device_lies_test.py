# SPDX-License-Identifier: Apache-2.0
"""What a device that lies gets: the code the document names, and nobody else is moved.

First to the real controller, which checks what is published; then, with a controller that relays
everything, to the real agent, which has to find out by itself. Traffic flows all the while.
"""
import dataclasses
import ipaddress
import os
import secrets
import unittest

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import device_support
import lying_controller
from pydevice import dim as codec
from pydevice import groups, identity, inner, proposals, stream

MESH_PROPOSALS = ("aes256gcm16-x25519-sha256", "aes256gcm16-ecp256-sha256",
                  "aes256gcm16-modp2048-sha256")
SMALL_ORDER = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
BAD_VALUES = ((31, bytes(32)), (31, SMALL_ORDER), (19, b"\1" * 64), (14, bytes(255) + b"\1"),
              (14, (groups.MODP[14] - 1).to_bytes(256, "big")))


class LiesTest(device_support.PairTest):
    settings = {"proposals": f"[{', '.join(MESH_PROPOSALS)}]"}
    key_kind = "ed25519"

    def setUp(self):
        super().setUp()
        self.roll_python()      # so that there is something older
        self.await_settled()
        self.running = self.flow(self.python, self.second, version=4)
        self.running.running = True
        self.before = self.unmoved()

    def unmoved(self):
        """What must not change at the agent."""
        peer = self.agent_peer("d2")
        keys = ("state", "outbound", "confirmed", "newest_on_newest", "pairs", "remote_counter")
        return {k: peer[k] for k in keys}, self.agent_pairs("d2")

    def unsigned(self):
        """Our newest DIM under the next counter and nonce, without an AUTH payload; and with an empty signature."""
        own = self.python.newest.dim
        bare = codec.encode(dataclasses.replace(own, counter=own.counter + 1, nonce=secrets.token_bytes(32),
                                                initial_contact=False))
        whole = codec.sign(bare, self.python.state.key, self.python.mesh_id)
        auth = whole[len(bare):]
        head = auth[:4 + 4 + 1 + auth[8]]  # generic header, method, length and text of the algorithm
        empty = whole[:len(bare)] + head[:2] + len(head).to_bytes(2, "big") + head[4:]
        return bare, empty

    def lie(self, key=None, mesh_id=None, **changes):
        """Our newest DIM but for what is named, under the next counter unless told; whole and signed."""
        own = self.python.newest.dim
        changes.setdefault("counter", own.counter + 1)
        changes.setdefault("nonce", secrets.token_bytes(32))
        dim = dataclasses.replace(own, **{"initial_contact": False, **changes})
        return codec.sign(codec.encode(dim), key or self.python.state.key,
                          mesh_id or self.python.mesh_id)

    def with_value(self, group, value):
        return tuple((g, value if g == group else v) for g, v in self.python.newest.dim.kes)


class ToTheControllerTest(LiesTest):
    def publish(self, octets, code):
        """Publishes that, on the stream as it is, and expects the refusal."""
        seen = len(self.python.results)
        counted = self.counted(f"publish-refused.{code}")
        self.python.stream.send(publish_dim=device_support.MESSAGES.PublishDim(dim=octets))
        self.loop.until(f"an answer ({code})", lambda: len(self.python.results) > seen)
        result = self.python.results[-1]
        self.assertFalse(result.accepted, code)
        self.assertEqual(result.refusal.code, code, result.refusal.message)
        self.assertEqual(self.counted(f"publish-refused.{code}"), counted + 1)
        return result

    def counted(self, name):
        return self.mesh.ctl("GET", "/api/v1/status")["counters"].get(name, 0)

    def alarms(self):
        return [e for e in self.mesh.ctl("GET", "/api/v1/events?limit=1000")["items"]
                if e["level"] == "alarm" and e["device"].startswith("d2")]

    def test_every_lie_is_refused_with_its_code_and_the_agent_is_unmoved(self):
        own = self.python.newest.dim
        stranger = identity.new_key("ed25519")
        honest = self.lie()
        self.publish(honest + b"\0", "dim-form")
        self.publish(honest + bytes(codec.MAX_OCTETS), "dim-size")
        for unsigned in self.unsigned():
            self.publish(unsigned, "dim-form")
        self.publish(self.lie(name="d1.demo"), "identity-mismatch")
        self.publish(self.lie(name="d3.demo"), "identity-mismatch")
        stale = self.publish(self.lie(counter=own.counter - 1), "stale-dim")
        self.assertEqual(stale.newer.dim, self.python.newest.octets)
        self.publish(self.lie(counter=own.counter, key=stranger), "signature")
        self.assertEqual(self.alarms(), [])
        self.publish(self.lie(initial_contact=True), "initial-contact")
        self.publish(self.lie(key=stranger), "signature")
        self.publish(self.lie(key=identity.new_key("p256")), "signature")
        self.publish(self.lie(mesh_id=bytes(16)), "signature")
        agents = self.rekey.remotes[max(self.rekey.remotes)].dim
        self.publish(self.lie(nonce=agents.nonce), "nonce-reused")
        self.publish(self.lie(nonce=own.nonce), "nonce-reused")
        for group, value in BAD_VALUES:
            self.publish(self.lie(kes=self.with_value(group, value)), "public-value")
        self.assertEqual(self.unmoved(), self.before)
        self.assertEqual(self.alarms(), [])
        self.publish(self.lie(counter=own.counter), "equivocation")
        self.loop.until("the alarm", self.alarms)
        self.assertEqual(self.unmoved(), self.before)
        self.roll_python()  # and the truth is still taken
        self.await_settled()
        self.finish(self.running)


class AtTheDoorTest(LiesTest):
    """Certificates that are expired, revoked or not of this device, mesh or CA."""

    def knock(self, certificate, key=None):
        """Opens the device stream with that certificate and says Hello; what came back, as text."""
        key = key or self.python.state.key
        paths = [os.path.join(self.lab.dir, name) for name in ("door.pem", "door.key")]
        with open(paths[0], "wb") as f:
            f.write(identity.load(certificate).public_bytes(Encoding.PEM))
        with open(paths[1], "wb") as f:
            f.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        own, said = self.python.state, []
        try:
            with self.place(self.second)():
                opened = stream.Stream(own["host"], own["port"], own["mesh"], own.trust, *paths, device_support.MESSAGES)
        except OSError as error:
            return repr(error)

        def ended():
            try:
                said.extend(opened.feed())
            except OSError as error:
                said.append(error)
                return True
            return any(getattr(m, "WhichOneof", lambda _: "")("message") == "goaway" for m in said)

        try:
            opened.send(hello=device_support.MESSAGES.Hello(version_min=1, version_max=1, software="door"))
        except OSError as error:
            said.append(error)
        self.loop.until("an end", ended, 20)
        opened.tls.close()
        self.assertNotIn("welcome", [m.WhichOneof("message") for m in said if not isinstance(m, OSError)])
        return repr(said)

    def test_a_wrong_certificate_is_refused_by_name_and_counted_and_moves_nobody(self):
        authority = lying_controller.Authority(self.mesh.controller_state)
        own, key, mesh_id = self.python.state.key, self.python.state.key.public_key(), self.python.mesh_id
        other = identity.new_key()
        cases = (
            ("expired beyond the grace", "certificate-expired", authority.issue(key, "d2.demo", mesh_id, (-90, -45)), own),
            ("not valid yet", "certificate-expired", authority.issue(key, "d2.demo", mesh_id, (2, 9)), own),
            ("of another CA", "certificate-chain", lying_controller.Authority().issue(key, "d2.demo", mesh_id), own),
            ("of another mesh", "identity-mismatch", authority.issue(key, "d2.demo", bytes(16)), own),
            ("of a device that never enrolled", "unknown-device", authority.issue(key, "ghost.demo", mesh_id), own),
            ("for another key than the enrolled", "identity-mismatch", authority.issue(other.public_key(), "d2.demo", mesh_id), other))
        for name, code, certificate, key in cases:
            with self.subTest(name):
                self.knocked(code, certificate, key)
        self.assertEqual(self.unmoved(), self.before)
        self.finish(self.running)
        with self.subTest("revoked"):
            self.mesh.ctl("POST", "/api/v1/devices/d2/revoke", {})
            self.python.offline = True
            self.knocked("revoked", authority.issue(own.public_key(), "d2.demo", mesh_id), own)

    def knocked(self, code, certificate, key):
        names = [f"{kind}-refused.{code}" for kind in ("connections", "session")]
        count = lambda: sum(self.mesh.ctl("GET", "/api/v1/status")["counters"].get(n, 0) for n in names)
        before, all_before = count(), self.mesh.ctl("GET", "/api/v1/status")["counters"]
        answer = self.knock(certificate, key)
        now = self.mesh.ctl("GET", "/api/v1/status")["counters"]
        changed = {k: v - all_before.get(k, 0) for k, v in now.items() if v != all_before.get(k, 0) and "refused" in k}
        self.assertEqual(count(), before + 1, f"{code}: {answer} {changed}")


class OnTheWireTest(LiesTest):
    """ESP that is cut, forged, repeated, of an unknown SPI or not the sender's, to the real data plane."""

    def seal(self, source=None, target=None):
        """A datagram inside, sealed with our newest SA."""
        mine, there = ipaddress.ip_address(self.second.inner4), ipaddress.ip_address(self.real.inner4)
        packet = inner.udp(ipaddress.ip_address(source) if source else mine, 7009,
                           ipaddress.ip_address(target) if target else there, 7009, b"hostile" * 5)
        return self.rekey.outbound[0].seal(*inner.build(packet))

    def throw(self, datagrams, **expected):
        """Sends them and waits until the drop counters have risen by exactly that."""
        before = self.counted()
        address, port = self.real.endpoint.rsplit(":", 1)
        for datagram in datagrams:
            self.python.udp.sendto(datagram, (address, int(port)))
        wanted = {**before, **{n.replace("_", "-"): before.get(n.replace("_", "-"), 0) + c for n, c in expected.items()}}
        risen = lambda: {k: v - before.get(k, 0) for k, v in self.counted().items() if v != before.get(k, 0)}
        self.loop.until(f"{expected}", lambda: self.counted() == wanted, 10, lambda: f"but {risen()}")

    def counted(self):
        return {i["name"]: i["count"] for i in self.real.api("GET", "/api/v1/drops")["items"]}

    def test_hostile_packets_are_dropped_by_name_and_nothing_else_changes(self):
        whole = self.seal()
        self.throw([whole, whole, whole], replay=2)
        forged = bytearray(self.seal())
        forged[-1] ^= 1
        self.throw([bytes(forged)], icv=1)
        flipped = [bytearray(self.seal()) for _ in range(5)]
        for at, packet in zip((8, 15, 16, 30, 40), flipped):
            packet[at] ^= 0x80
        self.throw([bytes(p) for p in flipped], icv=5)
        cut = self.seal()
        # Header, IV, one block and ICV are 36 octets; what is longer and no whole block is "length".
        self.throw([cut[:n] for n in range(9, 36)], too_short=27)
        self.throw([cut[:n] for n in range(36, len(cut)) if n % 4], length=sum(1 for n in range(36, len(cut)) if n % 4))
        self.throw([cut[:n] for n in range(36, len(cut)) if n % 4 == 0], icv=sum(1 for n in range(36, len(cut)) if n % 4 == 0))
        self.throw([secrets.token_bytes(2) + b"\xaa\xbb" + cut[4:]], unknown_spi=1)
        self.loop.until("the report of the SPI", lambda: self.mesh.ctl("GET", "/api/v1/status")["counters"].get("reports.bad-spi", 0) > 0)
        self.throw([self.seal(source="10.77.9.1"), self.seal(source="192.0.2.1"), self.seal(source=self.real.inner4)], inner_source=3)
        self.throw([self.seal(target="10.77.9.1")], inner_destination=1)
        self.assertEqual(self.unmoved(), self.before)
        self.running.drops_before = self.drops()
        self.roll_python()  # and a rekey goes through among all that
        self.await_settled()
        self.finish(self.running)


class ToTheAgentTest(LiesTest):
    def setUp(self):
        super().setUp()
        # The one controller goes, the other takes its place; the Python device hears nothing any more.
        held = self.mesh.ctl("GET", "/api/v1/dims/d1")
        self.python.offline = True
        self.authority = lying_controller.Authority(self.mesh.controller_state)
        certificate = self.python.certificate_of["d1.demo"]
        self.mesh.controller.send(15)
        self.loop.until("the controller to end", lambda: not self.mesh.controller.alive())
        welcome = device_support.MESSAGES.Welcome()
        welcome.CopyFrom(self.python.welcome)
        welcome.own_dim.CopyFrom(device_support.MESSAGES.StoredDim(
            dim=bytes.fromhex(held["dim"]), certificate_der=certificate,
            accepted_at_ms=held["accepted_at"]))
        del welcome.settings.own_prefixes[:]
        for text in self.real.prefixes:
            network = device_support.ipaddress.ip_network(text)
            welcome.settings.own_prefixes.add(address=network.network_address.packed,
                                              length=network.prefixlen)
        welcome.ClearField("discovery")
        self.controller = lying_controller.LyingController(
            (self.mesh.controller_address, device_support.CONTROL_PORT), self.mesh.controller_state,
            welcome, device_support.MESSAGES, lambda: device_support.in_namespace(
                self.mesh.controller_ns))
        self.addCleanup(self.controller.close)
        self.loop.parts.append(self.controller)
        self.loop.until("the agent", lambda: self.controller.acknowledged, 40)
        self.certificate = self.issue(self.python.state.key)
        self.relayed_ms = self.python.newest.accepted_ms + 1
        self.assertEqual(self.unmoved(), self.before)

    def issue(self, key, name="d2.demo", authority=None, **options):
        return (authority or self.authority).issue(key.public_key(), name, self.python.mesh_id,
                                                   **options)

    def relay(self, octets, certificate=None, device="d2.demo", **fields):
        """Relays a DIM of `device`; the agent's reports about it, once it has acknowledged."""
        self.controller.reports.clear()
        stored = device_support.MESSAGES.StoredDim(
            dim=octets, certificate_der=certificate or self.certificate,
            accepted_at_ms=self.relayed_ms)
        position = self.controller.update(
            device_support.MESSAGES.PeerChange(device=device, dim=stored), **fields)
        self.loop.until("the agent's Ack", lambda: self.controller.acknowledged >= position)
        return list(self.controller.reports)

    def refused(self, code, *args, **options):
        counted = self.real.api("GET", "/api/v1/status")["refused"].get(code, 0)
        reports = self.relay(*args, **options)
        self.assertEqual(self.real.api("GET", "/api/v1/status")["refused"].get(code, 0), counted + 1, code)
        refusals = [r.refused for r in reports if r.WhichOneof("what") == "refused"]
        self.assertEqual([r.code for r in refusals], [code], str(reports))
        return [r.alarm.code for r in reports if r.WhichOneof("what") == "alarm"]

    def test_every_lie_is_refused_with_its_code_and_the_agent_is_unmoved(self):
        own = self.python.newest.dim
        stranger = identity.new_key("ed25519")
        self.refused("dim-form", self.lie() + b"\0")
        self.refused("dim-size", self.lie() + bytes(codec.MAX_OCTETS))
        for unsigned in self.unsigned():
            self.refused("dim-form", unsigned)
        self.refused("stale-dim", self.lie(counter=own.counter - 1))
        self.assertEqual(self.refused("signature", self.lie(counter=own.counter, key=stranger)), [])
        self.refused("initial-contact", self.lie(initial_contact=True))
        self.refused("pad", self.lie(name="d3.demo"), self.issue(self.python.state.key, "d3.demo"))
        self.refused("certificate", self.lie(), b"\x30\x03\x02\x01\x01")
        self.refused("certificate-chain", self.lie(),
                     self.issue(self.python.state.key, authority=lying_controller.Authority()))
        self.refused("certificate-expired", self.lie(), self.issue(self.python.state.key, days=(-9, -1)))
        self.refused("certificate-identity", self.lie(), self.issue(self.python.state.key, "d3.demo"))
        self.refused("peer-key-changed", self.lie(key=stranger), self.issue(stranger))
        self.refused("signature", self.lie(key=stranger))
        self.refused("signature", self.lie(mesh_id=bytes(16)))
        agents = self.rekey.remotes[max(self.rekey.remotes)].dim
        self.refused("nonce-reused", self.lie(nonce=agents.nonce))
        self.refused("nonce-reused", self.lie(nonce=own.nonce))
        for group, value in BAD_VALUES:
            self.refused("public-value", self.lie(kes=self.with_value(group, value)))
        revocations = device_support.MESSAGES.Revocations(
            number=self.controller.hello.revocation_number + 1,
            spki_sha256=[identity.spki_sha256(stranger.public_key())])
        self.refused("revoked", self.lie(key=stranger), self.issue(stranger), revocations=revocations)
        self.assertEqual(self.unmoved(), self.before)
        alarms = self.refused("equivocation", self.lie(counter=own.counter))
        self.assertEqual(alarms, ["equivocation"])
        self.assertEqual(self.relay(self.python.newest.octets), [])  # the same again is no news
        self.assertEqual(self.unmoved(), self.before)
        self.no_proposal_is_an_outcome()
        self.the_truth_is_still_taken()
        self.finish(self.running)

    def test_a_key_that_policy_names_is_replaced_once(self):
        settings = device_support.MESSAGES.MeshSettings()
        settings.CopyFrom(self.controller.welcome.settings)
        settings.rekeyed.append("d2.demo")
        settings.policy_version += 1
        position = self.controller.update(settings=settings)
        self.loop.until("the agent's Ack", lambda: self.controller.acknowledged >= position)
        replaced = identity.new_key("p384")
        self.python.state.save_key(replaced)
        self.python.draw()
        reports = self.relay(self.python.newest.octets, self.issue(replaced))
        self.assertEqual([r.alarm.code for r in reports], ["peer-key-replaced"], str(reports))
        self.python.accepted(self.python.newest, self.relayed_ms)
        self.await_settled()
        third = identity.new_key()
        self.refused("peer-key-changed", self.lie(key=third), self.issue(third))
        self.finish(self.running)

    def no_proposal_is_an_outcome(self):
        foreign = proposals.parse("aes128-sha256-ecp384-sha256")
        pair = groups.KeyPair(20)
        self.python.state.save(sequence=self.python.state["sequence"] + 1)
        reports = self.relay(self.lie(proposals=(foreign,), kes=((20, pair.public),)))
        self.assertEqual([r.WhichOneof("what") for r in reports], ["no_proposal"], str(reports))
        self.assertEqual(reports[0].no_proposal.peer, "d2.demo")

    def the_truth_is_still_taken(self):
        self.python.draw()
        self.assertEqual(self.relay(self.python.newest.octets), [])
        self.python.accepted(self.python.newest, self.relayed_ms)
        self.await_settled()
        self.assertEqual(self.rekey.describe()["chosen"], "a4-b1")


if __name__ == "__main__":
    unittest.main()
