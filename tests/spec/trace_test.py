#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""trace.py finds each fault it is for, in a repository of a few lines."""

import json
import pathlib
import tempfile
import unittest

import places
import quotations
import trace

SLASHES = "/" + "/"  # so that no line here is itself a quotation
DRAFT = "docs/spec/draft.txt"
TEXT = """Prelude

1.1. Requirements Language

The key word "MUST" is meant as usual.

2. Keys

A device MUST forget its keys. It may keep a note. A nonce SHOULD be
random.
"""
CATALOGUE = """
draft: docs/spec/draft.txt
obligations:
  - {id: D2-1, section: "2", level: must, says: A device MUST forget its keys.}
  - {id: D2-2, section: "2", level: behaviour, says: It may keep a note.,
     no_code: "Nothing | to do.", no_test: As for the code.}
  - {id: D2-3, section: "2", level: should, says: A nonce SHOULD be random.}
ambiguities:
  - {id: AMB-01, section: "2", open: Which note it is., decided: "4.1", tests: [Forgets.Keys]}
"""


def quote(words, kind="", section="2", mark=SLASHES):
    typed = f"{mark}= type={kind}\n" if kind else ""
    return f"{mark}= {DRAFT}#section-{section}\n{typed}{mark}# {words}\n"


CODE = "\n" + quote("A device MUST forget its keys.") + "void forget(Keys& keys) {\n  keys.clear();\n}\n" + \
    "class Source {\n  " + quote("A nonce SHOULD be random.").replace("\n", "\n  ") + "Nonce draw() {\n" + \
    "    return {};\n  }\n};\n"
TEST = "\n" + quote("MUST forget its keys.", "test") + "TEST_F(Forgets, Keys) {\n}\n\n" + \
    quote("A nonce SHOULD be random.", "test") + "TEST_P(Draws,\n       Anew) {\n}\n"
XML = """<testsuites><testsuite name="x">
<testcase name="Keys" file="../../tests/a_test.cpp" status="run" result="completed" classname="Forgets"/>
<testcase name="Anew/0" file="../../tests/a_test.cpp" status="run" result="completed" classname="All/Draws"/>
<testcase name="Anew/1" file="../../tests/a_test.cpp" status="run" result="completed" classname="All/Draws"/>
</testsuite></testsuites>"""


class Traced(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        for directory in ("docs/spec", "src/keys", "tests", "results"):
            (self.root / directory).mkdir(parents=True)
        self.put(DRAFT, TEXT)
        self.put(trace.CATALOGUE, CATALOGUE)
        self.put("docs/protocol.md", "# P\n\n### 4.1 Notes\n\nAny.\n")
        self.put("src/keys/a.cpp", CODE)
        self.put("tests/a_test.cpp", TEST)
        self.put("results/a_test.xml", XML)
        self.write_page()

    def put(self, name, text):
        (self.root / name).write_text(text, encoding="utf-8")

    def change(self, name, old, new):
        text = (self.root / name).read_text(encoding="utf-8")
        self.assertIn(old, text)
        self.put(name, text.replace(old, new, 1))

    def write_page(self):
        self.put(trace.PAGE, trace.Trace(self.root).page())

    def complaints(self, page=False, results=True):
        """Without that of the page, which any other fault makes stale as well."""
        found = trace.check(self.root, self.root / "results" if results else None)[1]
        return [text for text in found if page or "out of date" not in text]

    def expect(self, *parts, **options):
        found = self.complaints(**options)
        self.assertEqual(len(found), len(parts), found)
        for text, part in zip(found, parts):
            self.assertIn(part, text)

    def test_what_is_traced_passes_and_says_where(self):
        self.expect(page=True)
        page = (self.root / trace.PAGE).read_text(encoding="utf-8")
        for part in ("[a.cpp](../src/keys/a.cpp) `forget`", "`Source::draw`", "`Forgets.Keys`", "`Draws.Anew`",
                     "*no code:* Nothing \\| to do.", "AMB-01"):
            self.assertIn(part, page)

    def test_an_obligation_no_code_quotes(self):
        self.put("src/keys/a.cpp", CODE.replace(quote("A device MUST forget its keys."), ""))
        self.expect("D2-1: not quoted above code that ships: A device MUST")

    def test_code_that_quotes_what_it_is_excused_from(self):
        self.put("src/keys/a.cpp", CODE + quote("It may keep a note.") + "int note;\n")
        self.expect("D2-2 is excused from code (no_code) and yet quoted in src/keys/a.cpp: take the excuse out")

    def test_an_obligation_no_test_quotes(self):
        self.put("tests/a_test.cpp", TEST.replace(quote("A nonce SHOULD be random.", "test"), ""))
        self.expect("D2-3: not quoted above a test")

    def test_a_quotation_in_a_test_is_none_of_code_that_ships(self):
        (self.root / "src/keys/a.cpp").rename(self.root / "src/keys/a_test_support.h")
        found = self.complaints()
        self.assertIn("D2-1: not quoted above code that ships: A device MUST forget its keys.", found)
        self.assertTrue(any("a test quotes without `type=test`" in text for text in found), found)

    def test_a_test_that_did_not_run(self):
        self.put("results/a_test.xml", XML.replace('"Keys"', '"Locks"'))
        self.expect("tests/a_test.cpp: Forgets.Keys did not run")

    def test_a_test_of_that_name_in_another_file_does_not_count(self):
        self.put("results/a_test.xml", XML.replace("tests/a_test.cpp", "tests/aa_test.cpp"))
        self.expect("Draws.Anew did not run", "Forgets.Keys did not run")

    def test_a_test_that_was_left_out(self):
        self.put("results/a_test.xml", XML.replace('status="run"', 'status="notrun"', 1))
        self.expect("Forgets.Keys ran and did not pass")

    def test_a_test_that_failed_with_one_of_its_parameters(self):
        self.change("results/a_test.xml", '"Anew/1" file="../../tests/a_test.cpp" status="run" result="completed" '
                    'classname="All/Draws"/>', '"Anew/1" file="../../tests/a_test.cpp" status="run" '
                    'result="completed" classname="All/Draws"><failure/></testcase>')
        self.expect("Draws.Anew ran and did not pass")

    def test_without_results_nothing_is_asked_of_the_run(self):
        self.put("results/a_test.xml", "<testsuites/>")
        self.expect(results=False)

    def test_a_passage_the_draft_does_not_have(self):
        self.change(trace.CATALOGUE, "says: It may keep a note.", "says: It may keep two notes.")
        self.expect("D2-2: section 2 does not say: It may keep two notes.")

    def test_a_section_the_draft_does_not_have(self):
        self.change(trace.CATALOGUE, 'id: D2-2, section: "2"', 'id: D2-2, section: "7"')
        self.expect("D2-2: the draft has no section 7", "D2-2: section 7 does not say")

    def test_an_upper_case_word_in_no_passage(self):
        self.change(DRAFT, "random.\n", "random. Nobody SHALL\nsleep.\n")
        self.expect("no obligation has the SHALL of section 2")

    def test_a_level_that_is_not_that_of_the_words(self):
        self.change(trace.CATALOGUE, "level: must", "level: may")
        self.change(trace.CATALOGUE, "level: behaviour", "level: should")
        self.expect("D2-1 is a may, its passage says must", "D2-2 is a should, its passage has no such word")

    def test_an_identifier_twice(self):
        self.change(trace.CATALOGUE, "id: D2-3", "id: D2-1")
        self.assertTrue(any("D2-1 stands there 2 times" in text for text in self.complaints()))

    def test_an_excuse_that_is_not_needed_any_more(self):
        self.put("tests/a_test.cpp", TEST + quote("It may keep a note.", "test") + "TEST(A, B) {}\n")
        self.change("results/a_test.xml", "<testcase", '<testcase name="B" classname="A" file="tests/a_test.cpp" '
                    'status="run" result="completed"/><testcase')
        self.expect("D2-2 is excused from test (no_test) and yet quoted in tests/a_test.cpp: take the excuse out")

    def test_a_quotation_of_no_obligation(self):
        self.put("src/keys/a.cpp", CODE + quote("its keys. It may") + "int x;\n")
        self.expect("no obligation of section 2 has the words: its keys. It may")

    def test_a_quotation_of_too_few_words(self):
        self.put("src/keys/a.cpp", CODE + quote("A device") + "int x;\n")
        self.expect("a.cpp:14: quotes too little")

    def test_a_quotation_above_no_test(self):
        self.put("tests/a_test.cpp", TEST + quote("MUST forget its keys.", "test") + "void helper() {}\n")
        self.expect("the quotation stands above no test")

    def test_an_ambiguity_whose_decision_or_test_is_not_there(self):
        self.change(trace.CATALOGUE, 'decided: "4.1", tests: [Forgets.Keys]', 'decided: "4.2", tests: [No.Such]')
        self.expect("docs/protocol.md has no section 4.2", "there is no test No.Such")

    def test_a_page_that_is_out_of_date(self):
        self.change("src/keys/a.cpp", "void forget(", "void forget_all(")
        self.assertIn("is out of date", "".join(self.complaints(page=True)))
        self.write_page()
        self.expect(page=True)

    def test_python_tests_count_when_the_entry_of_ctest_that_runs_their_file_passed(self):
        text = "class T(unittest.TestCase):\n    " + quote(
            "A nonce SHOULD be random.", "test", mark="#").replace("\n", "\n    ") + "def test_nonce(self):\n        pass\n"
        self.put("tests/b_test.py", text)
        self.write_page()
        self.expect("tests/b_test.py: T.test_nonce did not run")
        self.put("results/ctest.json", json.dumps({"tests": [{"name": "b", "command": ["python3", "/x/tests/b_test.py"]}]}))
        self.expect("tests/b_test.py: T.test_nonce did not run")
        self.put("results/ctest.xml", '<testsuite><testcase name="b" status="run"/></testsuite>')
        self.expect(page=True)
        self.put("results/ctest.xml", '<testsuite><testcase name="b" status="fail"><failure/></testcase></testsuite>')
        self.expect("T.test_nonce ran and did not pass")


class Places(unittest.TestCase):
    """What a quotation stands above, whatever the shape of the code."""

    def place(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".cpp", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            path = pathlib.Path(file.name)
            return [places.code(path, quoted) for quoted in quotations.quotations(path)]

    def test_function_method_statement_type_and_constant(self):
        said = quote("words")
        inner = "  " + said.replace("\n", "\n  ").rstrip(" ")
        self.assertEqual(self.place(said + "Result<int> A::b(int x,\n                 int y) {\n}\n"), ["A::b"])
        self.assertEqual(self.place("std::vector<int>\nlong_name(int x) {\n" + inner + "  if (x) return {};\n}\n"), ["long_name"])
        self.assertEqual(self.place("class C final : public D {\n public:\n" + inner + "  [[nodiscard]] bool m() const {\n"), ["C::m"])
        self.assertEqual(self.place("struct S {\n  bool m(int x) {\n" + inner.replace("  /", "    /") + "    return x;\n"), ["S::m"])
        self.assertEqual(self.place(said + "struct S {\n"), ["S"])
        self.assertEqual(self.place(said + "constexpr std::array<Row, 7> kTable{{\n"), ["kTable"])
        self.assertEqual(self.place(said + SLASHES + " More words.\n" + said + "void f() {\n"), ["f", "f"])
        self.assertEqual(self.place(said + "Out A::on(const B& b) {\n}\n" + said + "Out A::on(C& c) {\n}\n"),
                         ["A::on(B)", "A::on(C)"])
        self.assertEqual(self.place(said), [""])


if __name__ == "__main__":
    unittest.main()
