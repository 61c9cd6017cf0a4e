#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/api.md against what both daemons answer: every key documented is there, and no other.

The shapes are read from the document itself: the first object after each heading for a GET, the
one after "gives" or a status for a POST.
"""
import datetime
import json
import os
import pathlib
import re
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support import TOP, MeshTest, api


class Shape:
    """An object of the document: its keys, each with a Shape, a list's Shape or None. any_keys: a map."""

    def __init__(self):
        self.keys = {}
        self.any_keys = False

    def differences(self, answer, at=""):
        if not isinstance(answer, dict):
            return [f"{at or 'the answer'} is no object"]
        if self.any_keys:
            return []
        out = [f"{at}{k} is documented and not answered" for k in self.keys if k not in answer]
        out += [f"{at}{k} is answered and not documented" for k in answer if k not in self.keys]
        for key, inner in self.keys.items():
            value = answer.get(key)
            if isinstance(inner, Shape) and value is not None:
                out += inner.differences(value, f"{at}{key}.")
            elif isinstance(inner, list) and isinstance(value, list) and inner[0] is not None:
                for item in value:
                    out += inner[0].differences(item, f"{at}{key}[].")
        return out


def parse_shape(text, at=0):
    """text[at] is '{'. Returns (Shape, index after it)."""
    shape, at = Shape(), at + 1
    last = None
    while text[at] != "}":
        if text[at] == '"':
            end = text.index('"', at + 1)
            key, at = text[at + 1:end], end + 1
            optional = text[at:at + 1] == "?"
            at += 1 if optional else 0
            value = None
            match = re.match(r"\s*:\s*", text[at:])
            if match:
                at += match.end()
                value, at = parse_value(text, at)
                if value == "same":
                    value = last
            shape.keys[key] = value
            last = value if isinstance(value, Shape) else last
        elif text[at].isalpha():  # {name: count}
            shape.any_keys = True
            _, at = parse_value(text, at)
        elif text[at:at + 3] == "...":
            shape.any_keys = True
            at += 3
        else:
            at += 1
    return shape, at + 1


def parse_value(text, at):
    if text.startswith("{...}", at):
        return "same", at + 5
    if text[at] == "{":
        return parse_shape(text, at)
    if text[at] == "[":
        inner = None
        if text[at + 1] == "{":
            inner, _ = parse_shape(text, at + 1)
        depth = 0
        while True:
            depth += {"[": 1, "]": -1}.get(text[at], 0)
            at += 1
            if depth == 0:
                return [inner], at
    if text[at] == '"':
        return None, text.index('"', at + 1) + 1
    depth = 0
    while depth > 0 or text[at] not in ",}":
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(text[at], 0)
        at += 1
    return None, at


def sections(text):
    """{(program, 'GET /path'): body}"""
    out, program = {}, None
    for part in re.split(r"^(?=##)", text, flags=re.M):
        head, _, body = part.partition("\n")
        if head.startswith("## "):
            program = head[3:]
        for name in re.findall(r"`((?:GET|POST) [^`]+)`", head) if head.startswith("### ") else []:
            out[(program, re.sub(r"\[?\?.*", "", name))] = body
    return out


def objects(body):
    return [(body[:m.start()], m.group(1)) for m in re.finditer(r"`(\{[^`]*\})`", body)]


def answer_shape(method, body):
    found = objects(body)
    if method == "POST":
        found = [(before, o) for before, o in found if re.search(r"(gives|\b20[02])[^`]*$", before)]
    return parse_shape(found[0][1])[0]


class ApiDocument(MeshTest):
    devices = 2

    def setUp(self):
        super().setUp()
        self.sections = sections(pathlib.Path(TOP, "docs", "api.md").read_text())
        self.seen = set()

    def check(self, program, name, answer, item=False):
        self.seen.add((program, name))
        shape = answer_shape(name.split()[0], self.sections[(program, name)])
        if item and "items" in answer and "items" not in shape.keys:
            self.assertEqual(list(answer), ["items"])
            self.assertTrue(answer["items"], f"{name}: nothing to compare with")
            wrong = [d for i in answer["items"] for d in shape.differences(i)]
        else:
            wrong = shape.differences(answer)
        self.assertEqual(sorted(set(wrong)), [], f"{program}: {name}")

    def both(self, program, name, ask):
        with self.subTest(f"{program} {name}"):
            self.check(program, name, ask("GET", name.split()[1]), item=True)

    def test_every_answer_has_the_documented_keys_and_no_other(self):
        policy = self.start_controller()
        for device in self.mesh.devices:
            self.mesh.join(device)
        for device in self.mesh.devices:
            self.mesh.start_agent(device)
        self.await_settled()
        a = self.mesh.devices[0]
        ctl, dev = self.mesh.ctl, a.api
        self.assertEqual(self.ping(a, self.mesh.devices[1].inner4), 3)
        for name in ("/healthz", "/api/v1/status", "/api/v1/devices", "/api/v1/pairs", "/api/v1/dims", "/api/v1/tokens",
                     "/api/v1/policy", "/api/v1/events"):
            self.both("Controller", "GET " + name, ctl)
        for name in ("/healthz", "/api/v1/status", "/api/v1/peers", "/api/v1/sa", "/api/v1/drops"):
            self.both("Agent", "GET " + name, dev)
        yaml = pathlib.Path(policy).read_text()
        steps = [
            ("Controller", "GET /api/v1/devices/{name}", lambda: ctl("GET", "/api/v1/devices/d1")),
            ("Controller", "GET /api/v1/dims/{name}", lambda: ctl("GET", "/api/v1/dims/d1")),
            ("Controller", "GET /api/v1/why", lambda: ctl("GET", "/api/v1/why?a=d1&b=d2")),
            ("Controller", "GET /api/v1/csrs", lambda: ctl("GET", "/api/v1/csrs")),
            ("Controller", "POST /api/v1/tokens", lambda: ctl("POST", "/api/v1/tokens", {"name": "d9"})),
            ("Controller", "POST /api/v1/devices/{name}/rekey", lambda: ctl("POST", "/api/v1/devices/d1/rekey", {})),
            ("Controller", "POST /api/v1/rekey", lambda: ctl("POST", "/api/v1/rekey", {})),
            ("Controller", "POST /api/v1/policy/plan", lambda: ctl("POST", "/api/v1/policy/plan", {"yaml": yaml})),
            ("Controller", "GET /api/v1/test/hold-relay", lambda: ctl("GET", "/api/v1/test/hold-relay")),
            ("Agent", "GET /api/v1/why", lambda: dev("GET", "/api/v1/why?peer=d2")),
            ("Agent", "POST /api/v1/ping", lambda: dev("POST", "/api/v1/ping", {"peer": "d2", "count": 1})),
            ("Agent", "POST /api/v1/rekey", lambda: dev("POST", "/api/v1/rekey", {})),
            ("Agent", "POST /api/v1/flush", lambda: dev("POST", "/api/v1/flush", {})),
            ("Agent", "POST /api/v1/confirm-key",
             lambda: dev("POST", "/api/v1/confirm-key", {"peer": "d2", "spki_sha256": "00" * 32})),
            ("Controller", "POST /api/v1/devices/{name}/revoke", lambda: ctl("POST", "/api/v1/devices/d2/revoke", {})),
            ("Agent", "POST /api/v1/stop", lambda: dev("POST", "/api/v1/stop", {})),
        ]
        for program, name, ask in steps:
            with self.subTest(f"{program} {name}"):
                self.check(program, name, ask())
        with self.subTest("apply and rollback answer as plan, with the version"):
            shape = answer_shape("POST", self.sections[("Controller", "POST /api/v1/policy/plan")])
            shape.keys["version"] = None
            applied = ctl("POST", "/api/v1/policy/apply", {"yaml": yaml.replace("every: 1h", "every: 2h")})
            self.assertEqual(shape.differences(applied), [])
            self.assertEqual(shape.differences(ctl("POST", "/api/v1/policy/rollback", {})), [])
        with self.subTest("problems"):
            with self.assertRaises(ValueError) as refused:
                ctl("GET", "/api/v1/devices/nobody")
            problem = json.loads(str(refused.exception).split(" ", 3)[3])
            self.assertLessEqual(set(problem), {"type", "title", "status", "detail", "code", "where", "cure"})
            self.assertGreaterEqual(set(problem), {"type", "title", "status", "detail", "code"})
        with self.subTest("every section with an answer was asked"):
            # The former two are compared above, the CA's in ExternalCa.
            other = {("Controller", "POST /api/v1/policy/apply"), ("Controller", "POST /api/v1/policy/rollback"),
                     ("Controller", "POST /api/v1/csrs/{name}/certificate")}
            self.assertEqual(set(self.sections) - self.seen - other, set())


class ExternalCa(MeshTest):
    devices = 2

    def sign(self, csr, key_path, ca_path):
        """What an operator's own CA does with a queued request."""
        request = x509.load_der_x509_csr(bytes.fromhex(csr))
        self.assertTrue(request.is_signature_valid)
        ca = x509.load_pem_x509_certificate(pathlib.Path(ca_path).read_bytes())
        key = serialization.load_pem_private_key(pathlib.Path(key_path).read_bytes(), None)
        now = datetime.datetime.utcnow()
        mesh_id = self.mesh.ctl("GET", "/api/v1/status")["mesh_id"]
        names = [x509.DNSName("d1.demo"), x509.UniformResourceIdentifier(f"cygnet://{mesh_id}/d1")]
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        made = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "d1.demo")]))
                .issuer_name(ca.subject).public_key(request.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(days=7))
                .add_extension(x509.SubjectAlternativeName(names), False).add_extension(usage, True)
                .add_extension(x509.BasicConstraints(False, None), True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value), False)
                .sign(key, hashes.SHA256()))
        return made.public_bytes(serialization.Encoding.PEM).decode()

    def test_requests_wait_for_the_operators_own_ca_which_the_controller_has_no_key_of(self):
        documented = sections(pathlib.Path(TOP, "docs", "api.md").read_text())
        body = documented[("Controller", "GET /api/v1/csrs")]
        self.mesh.init_controller()
        key = os.path.join(self.lab.dir, "identity-ca.key")
        os.rename(os.path.join(self.mesh.controller_state, "identity-ca.key"), key)
        self.mesh.start_controller(["--ca-mode", "external"])
        self.mesh.await_controller()
        self.mesh.cygnet("apply", "-f", self.mesh.write_policy())
        device = self.mesh.devices[0]
        made = self.mesh.ctl("POST", "/api/v1/tokens", {"name": "d1"})
        join = self.lab.start("join", [os.path.join(self.bin_dir, "cygnet-agent"), "join", made["join_line"].split()[-1],
                                       "--state", device.state], ns=device.ns)
        (item,) = self.lab.wait("the request", lambda: self.mesh.ctl("GET", "/api/v1/csrs")["items"], 10, watch=[join])
        self.assertEqual(answer_shape("GET", body).keys["items"][0].differences(item), [])
        ca = os.path.join(self.mesh.controller_state, "identity-ca.pem")
        with self.assertRaises(ValueError) as refused:  # not what was asked for
            self.mesh.ctl("POST", "/api/v1/csrs/d1/certificate", {"certificate_pem": pathlib.Path(ca).read_text()})
        self.assertIn(" 422 ", str(refused.exception))
        answer = self.mesh.ctl("POST", "/api/v1/csrs/d1/certificate", {"certificate_pem": self.sign(item["csr"], key, ca)})
        self.assertEqual(answer_shape("POST", body).differences(answer), [])
        self.assertEqual(join.popen.wait(60), 0, join.tail())
        self.mesh.start_agent(device)
        self.lab.wait("the device on its stream", lambda: self.mesh.ctl("GET", "/api/v1/devices/d1")["state"] == "attached", 15)


class Notation(unittest.TestCase):
    """The reader of shapes sees what it should: a key too many, one too few, at any depth."""

    def test_every_route_of_both_programs_is_documented_and_the_other_way_round(self):
        document = pathlib.Path(TOP, "docs", "api.md").read_text()
        head, agent = document.split("\n## Agent\n")
        controller = head.split("\n## Controller\n")[1]
        for text, sources in ((controller, "src/cygnet/controller/api"), (agent, "src/cygnet/agent/driver")):
            routes = set()
            for path in pathlib.Path(TOP, sources).glob("*.cpp"):
                if not path.name.endswith("_test.cpp"):
                    routes |= set(re.findall(r'on\(\s*"(GET|POST)",\s*"([^"]+)"', path.read_text()))
            documented = set(re.findall(r"`(GET|POST) ([^`?\[]+)", text))
            self.assertGreater(len(routes), 8, sources)
            self.assertEqual(routes, documented, sources)

    def test_differences_are_found(self):
        shape, _ = parse_shape('{"a", "b": {"c", "d": text}, "e": [{"f"}], "g": {name: count}, "in": {"x", "y"}, "out": {...}, "s": "p|q"}')
        good = {"a": 1, "b": {"c": 1, "d": 2}, "e": [{"f": 1}], "g": {"any": 1}, "in": {"x": 1, "y": 2}, "out": {"x": 1, "y": 2}, "s": "p"}
        self.assertEqual(shape.differences(good), [])
        for path, change in (("b.d is documented", lambda x: x["b"].pop("d")), ("e[].h is answered", lambda x: x["e"][0].update(h=1)),
                             ("a is documented", lambda x: x.pop("a")), ("out.y is documented", lambda x: x["out"].pop("y")),
                             ("z is answered", lambda x: x.update(z=1))):
            bad = json.loads(json.dumps(good))
            change(bad)
            (found,) = shape.differences(bad)
            self.assertIn(path, found)


if __name__ == "__main__":
    unittest.main(verbosity=2)
