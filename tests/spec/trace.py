#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Traces every obligation of the draft to the code and the tests that quote it.

docs/spec/obligations.yaml lists the obligations, each with its passages of the draft. `check` asks

* that each passage stands in the draft, and that every upper-case word of RFC 2119 in the draft
  stands in a passage;
* that each passage is quoted in code that ships and above a test, or that the obligation says why
  not; an excuse that is no longer needed is a fault as well;
* that each quotation of the draft belongs to an obligation;
* that docs/traceability.md, which `write` makes, says what is so;
* with --results, that each of those tests ran and passed. DIR holds GoogleTest's XML files, ctest's
  JUnit file (ctest.xml) and what `ctest --show-only=json-v1` prints (ctest.json).

A quotation and a passage belong together when one contains the other.

usage: trace.py check|write REPOSITORY [--results DIR]
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

import yaml

import places
import quotations

CATALOGUE = "docs/spec/obligations.yaml"
PAGE = "docs/traceability.md"
KEYWORD = re.compile(r"\b(MUST|REQUIRED|SHALL|SHOULD|RECOMMENDED|MAY|OPTIONAL)\b")
KEYWORD_LEVEL = {"MUST": "must", "REQUIRED": "must", "SHALL": "must", "SHOULD": "should",
                 "RECOMMENDED": "should", "MAY": "may", "OPTIONAL": "may"}
LEVELS = ("must", "should", "may", "behaviour", "formula")
WORDS_MIN = 4
NO_OBLIGATION = ("1.1",)  # quotes the words to say how they are meant


@dataclasses.dataclass
class Obligation:
    id: str
    section: str
    level: str
    says: list
    no_code: str = ""
    no_test: str = ""
    note: str = ""


@dataclasses.dataclass
class Ambiguity:
    id: str
    section: str
    open: str
    decided: str
    tests: list


@dataclasses.dataclass(frozen=True)
class Place:
    path: str
    name: str


class Catalogue:
    """obligations.yaml, and complaints about its form."""

    def __init__(self, text):
        self.complaints = []
        data = yaml.safe_load(text)
        self.draft = data["draft"]
        self.obligations = [self._entry(Obligation, item) for item in data.get("obligations") or []]
        self.ambiguities = [self._entry(Ambiguity, item) for item in data.get("ambiguities") or []]
        for item in self.obligations:
            item.says = [quotations.fold(text) for text in
                         ([item.says] if isinstance(item.says, str) else item.says)]
            self._check(item)
        for item in self.obligations + self.ambiguities:
            item.section = str(item.section)
        names = collections.Counter(i.id for i in self.obligations + self.ambiguities)
        self.complaints += [f"{CATALOGUE}: {name} stands there {n} times" for name, n in names.items() if n > 1]

    def _entry(self, kind, item):
        """A field that is missing or unknown is an error of the one who writes: told as it comes."""
        return kind(**item)

    def _check(self, item):
        if item.level not in LEVELS:
            self.complaints.append(f"{CATALOGUE}: {item.id} has the level {item.level}; levels are {', '.join(LEVELS)}")
        words = {KEYWORD_LEVEL[word] for text in item.says for word in KEYWORD.findall(text)}
        if words - {item.level}:
            self.complaints.append(f"{CATALOGUE}: {item.id} is a {item.level}, its passage says {', '.join(sorted(words))}")
        if not words and item.level in ("must", "should"):
            self.complaints.append(f"{CATALOGUE}: {item.id} is a {item.level}, its passage has no such word")


class Trace:
    """The repository as it is: who quotes what."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.catalogue = Catalogue((self.root / CATALOGUE).read_text(encoding="utf-8"))
        self.complaints = list(self.catalogue.complaints)
        self.text = quotations.sections(self.root / self.catalogue.draft)
        self.code = collections.defaultdict(list)  # (obligation id, passage) -> places
        self.tests = collections.defaultdict(list)
        self.all_tests = collections.defaultdict(set)  # name -> paths
        self._read_sources()
        self._passages()
        self._keywords()
        for obligation in self.catalogue.obligations:
            self._covered(obligation, "code", self.code, obligation.no_code)
            self._covered(obligation, "test", self.tests, obligation.no_test)
        self._ambiguities()

    def _read_sources(self):
        for path in quotations.sources(self.root):
            name = path.relative_to(self.root).as_posix()
            for test in places.all_tests(path):
                self.all_tests[test].add(name)
            for quote in quotations.quotations(path):
                if quote.file == self.catalogue.draft and quote.words:
                    self._quotation(path, name, quote)

    def _quotation(self, path, name, quote):
        where = f"{name}:{quote.start}"
        if quotations.is_test(name):
            test = places.test(path, quote)
            if quote.type != "test":
                self.complaints.append(f"{where}: a test quotes without `type=test`")
            if not test:
                self.complaints.append(f"{where}: the quotation stands above no test")
            place, found = Place(name, test or ""), self.tests
        else:
            if quote.type:
                self.complaints.append(f"{where}: `type={quote.type}` in code that ships")
            place, found = Place(name, places.code(path, quote)), self.code
        owners = [(item.id, text) for item in self.catalogue.obligations if item.section == quote.section
                  for text in item.says if quote.words in text or text in quote.words]
        if len(quote.words.split()) < WORDS_MIN:
            self.complaints.append(f"{where}: quotes too little to tell one sentence from another: {quote.words}")
        elif not owners:
            self.complaints.append(f"{where}: no obligation of section {quote.section} has the words: {quote.words}; "
                                   f"enter one in {CATALOGUE}, or quote a part of a passage")
        for owner in owners:
            if place not in found[owner]:
                found[owner].append(place)

    def _passages(self):
        for item in self.catalogue.obligations:
            if item.section not in self.text:
                self.complaints.append(f"{CATALOGUE}: {item.id}: the draft has no section {item.section}")
            for text in item.says:
                if text not in self.text.get(item.section, ""):
                    self.complaints.append(f"{CATALOGUE}: {item.id}: section {item.section} does not say: {text}")

    def _keywords(self):
        for section, text in self.text.items():
            if section in NO_OBLIGATION:
                continue
            spans = []
            for item in self.catalogue.obligations:
                for passage in item.says if item.section == section else []:
                    spans += [match.span() for match in re.finditer(re.escape(passage), text)]
            for word in KEYWORD.finditer(text):
                if not any(start <= word.start() and word.end() <= end for start, end in spans):
                    around = text[max(0, word.start() - 60):word.end() + 60]
                    self.complaints.append(f"{CATALOGUE}: no obligation has the {word.group(0)} of section {section}: … {around} …")

    def _covered(self, item, kind, found, excuse):
        quoted = [text for text in item.says if found[item.id, text]]
        if excuse and quoted:
            self.complaints.append(f"{CATALOGUE}: {item.id} is excused from {kind} (no_{kind}) and yet quoted in "
                                   f"{found[item.id, quoted[0]][0].path}: take the excuse out")
        for text in item.says:
            if not excuse and text not in quoted:
                above = "code that ships" if kind == "code" else "a test"
                self.complaints.append(f"{item.id}: not quoted above {above}: {text}")

    def _ambiguities(self):
        decisions = quotations.sections(self.root / "docs/protocol.md")
        for item in self.catalogue.ambiguities:
            if item.section not in self.text:
                self.complaints.append(f"{CATALOGUE}: {item.id}: the draft has no section {item.section}")
            if str(item.decided) not in decisions:
                self.complaints.append(f"{CATALOGUE}: {item.id}: docs/protocol.md has no section {item.decided}")
            if not item.tests:
                self.complaints.append(f"{CATALOGUE}: {item.id} names no test")
            for test in item.tests:
                if test not in self.all_tests:
                    self.complaints.append(f"{CATALOGUE}: {item.id}: there is no test {test}")

    def test_places(self):
        """Every test that obligations and ambiguities rest on."""
        named = {place for found in self.tests.values() for place in found if place.name}
        for item in self.catalogue.ambiguities:
            named |= {Place(path, test) for test in item.tests for path in self.all_tests.get(test, ())}
        return sorted(named, key=lambda place: (place.path, place.name))

    def page(self):
        return Page(self).text()

    def check_page(self):
        path = self.root / PAGE
        if not path.is_file() or path.read_text(encoding="utf-8") != self.page():
            yield f"{PAGE} is out of date: run tests/spec/trace.py write ."


class Page:
    def __init__(self, trace):
        self.trace = trace
        self.catalogue = trace.catalogue

    def text(self):
        items = self.catalogue.obligations
        excused = [i for i in items if i.no_code or i.no_test]
        tests = {place for found in self.trace.tests.values() for place in found}
        out = ["# Traceability", "",
               "Made by `tests/spec/trace.py write .`; do not edit. `spec_trace` fails when this page is out of date, and",
               "`./dev test` when a test named here did not run or did not pass.", "",
               f"Each obligation of the [draft](spec/{pathlib.PurePosixPath(self.catalogue.draft).name}) in its own words, "
               "the code that quotes it",
               "and the tests that do. The list is [spec/obligations.yaml](spec/obligations.yaml); it covers every upper-case word",
               "of RFC 2119 in the draft, and the behaviour and formulas that the draft describes without one.", "",
               f"{len(items)} obligations, {len(tests)} tests, {len(excused)} obligations with an exception.", ""]
        for section in sorted({i.section for i in items}, key=_section_order):
            appendix = "Appendix " if section[0].isalpha() else "Section "
            out += [f"## {appendix}{section}", "", "| | the draft says | code | tests |", "|---|---|---|---|"]
            for item in (i for i in items if i.section == section):
                out.append(f"| **{item.id}**<br>{item.level} | {self._says(item)} | "
                           f"{self._cell(item, self.trace.code, item.no_code, 'code')} | "
                           f"{self._cell(item, self.trace.tests, item.no_test, 'test')} |")
            out.append("")
        out += ["## Where the draft leaves a choice", "",
                "What is open, where [protocol.md](protocol.md) decides it, and the tests that pin the decision.", "",
                "| | draft | open | decided in | tests |", "|---|---|---|---|---|"]
        for item in self.catalogue.ambiguities:
            tests = "<br>".join(_place(Place(path, test)) for test in item.tests
                                for path in sorted(self.trace.all_tests.get(test, ())))
            out.append(f"| **{item.id}** | {item.section} | {_escape(item.open)} | protocol.md section {item.decided} | {tests} |")
        return "\n".join(out) + "\n"

    def _says(self, item):
        said = [f"“{_escape(text)}”" for text in item.says]
        return "<br>".join(said + ([f"*{_escape(quotations.fold(item.note))}*"] if item.note else []))

    def _cell(self, item, found, excuse, kind):
        if excuse:
            return f"*no {kind}:* {_escape(quotations.fold(excuse))}"
        listed = []
        for text in item.says:
            listed += [place for place in found[item.id, text] if place not in listed]
        return "<br>".join(_place(place) for place in sorted(listed, key=lambda p: (p.path, p.name)))


def _escape(text):
    return re.sub(r"([\\|<>*_\[\]$`])", r"\\\1", text)


def _place(place):
    file = pathlib.PurePosixPath(place.path).name
    return f"[{file}](../{place.path})" + (f" `{place.name}`" if place.name else "")


def _section_order(section):
    return [(1, part) if part.isalpha() else (0, int(part)) for part in section.split(".")]


class Results:
    """Which tests a run of ctest passed."""

    def __init__(self, directory):
        self.gtest = collections.defaultdict(list)  # (suite, name) -> (file, passed)
        self.ctest = {}  # name -> passed
        self.scripts = []  # (argument of a command, name of the ctest entry)
        for path in sorted(pathlib.Path(directory).glob("*.xml")):
            tree = xml.etree.ElementTree.parse(path).getroot()
            if path.name == "ctest.xml":
                self.ctest = {case.get("name"): case.get("status") == "run" and case.find("failure") is None
                              for case in tree.iter("testcase")}
            else:
                self._gtest(tree)
        listing = pathlib.Path(directory) / "ctest.json"
        if listing.is_file():
            for test in json.loads(listing.read_text(encoding="utf-8"))["tests"]:
                self.scripts += [(argument, test["name"]) for argument in test.get("command", [])]

    def _gtest(self, tree):
        for case in tree.iter("testcase"):
            passed = (case.get("status") == "run" and case.get("result") == "completed"
                      and all(case.find(fault) is None for fault in ("failure", "error", "skipped")))
            # A test with parameters is Instantiation/Suite, Name/Parameter: each of them must pass.
            suite = case.get("classname").rsplit("/", 1)[-1]
            name = case.get("name").split("/", 1)[0]
            self.gtest[f"{suite}.{name}"].append((case.get("file", ""), passed))

    def complaint(self, place):
        """Why the test of this place does not count, or None."""
        if place.path.endswith(".py"):
            runs = [self.ctest.get(name) for argument, name in self.scripts if argument.endswith("/" + place.path)]
        else:
            runs = [passed for file, passed in self.gtest[place.name] if ("/" + file).endswith("/" + place.path)]
        if not runs or None in runs:
            return f"{place.path}: {place.name} did not run"
        return None if all(runs) else f"{place.path}: {place.name} ran and did not pass"


def check(root, results=None):
    trace = Trace(root)
    complaints = trace.complaints + list(trace.check_page())
    if results is not None:
        outcome = Results(results)
        complaints += [text for text in map(outcome.complaint, trace.test_places()) if text]
    return trace, complaints


def main():
    parser = argparse.ArgumentParser(description="Traces every obligation of the draft to code and tests.")
    parser.add_argument("command", choices=("check", "write"))
    parser.add_argument("repository", type=pathlib.Path)
    parser.add_argument("--results", type=pathlib.Path, help="directory of a run's results")
    arguments = parser.parse_args()
    if arguments.command == "write":
        (arguments.repository / PAGE).write_text(Trace(arguments.repository).page(), encoding="utf-8")
    trace, complaints = check(arguments.repository, arguments.results)
    for complaint in complaints:
        print(complaint)
    ran = " that ran and passed" if arguments.results and not complaints else ""
    print(f"{len(trace.catalogue.obligations)} obligations, {len(trace.catalogue.ambiguities)} ambiguities, "
          f"{len(trace.test_places())} tests{ran}, {len(complaints)} complaints")
    return 1 if complaints or not trace.catalogue.obligations else 0


if __name__ == "__main__":
    sys.exit(main())
