#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every quotation of a specification against its text.

A quotation is a line `//= FILE#section-N` (or `#=` in scripts), perhaps `//= type=…`, then lines
`//# words`. The words must stand in that section of FILE, white space apart. Files quoted are those
in docs/spec.

usage: quotes_test.py REPOSITORY
"""

import pathlib
import re
import sys

TARGET = re.compile(r"^\s*(?://|#)=\s*(docs/spec/\S+?)#section-(\S+)\s*$")
OPTION = re.compile(r"^\s*(?://|#)=\s*type=\w+\s*$")
WORDS = re.compile(r"^\s*(?://|#)#\s?(.*)$")
HEADING = re.compile(r"^\[?(?:Appendix )?((?:\d+|[A-Z])(?:\.\d+)*)\.\s")


def fold(text):
    return " ".join(text.split())


def sections(path):
    """Folded text by section number; headings may carry links, as in '[6.1.](#) Title'."""
    out, number = {}, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        plain = line.replace("](#)", "").replace("[", "", 1) if line.startswith("[") else line
        heading = HEADING.match(plain)
        # A numbered list item is a sentence, a heading is not.
        if heading and len(plain) < 76 and not plain.rstrip().endswith((".", ":")):
            number = heading.group(1)
        out[number] = out.get(number, "") + "\n" + line
    return {key: fold(text) for key, text in out.items()}


def quotations(path):
    """(line number, file, section, words) of one source file."""
    target, words, start = None, [], 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() + [""], 1):
        said = WORDS.match(line) if target else None
        if said:
            words.append(said.group(1))
            continue
        if target and words:
            yield start, target[0], target[1], fold(" ".join(words))
            target, words = None, []
        if OPTION.match(line):
            continue
        found = TARGET.match(line)
        if found:
            if target:
                yield start, target[0], target[1], ""
            target, start = found.groups(), number
        elif target:
            yield start, target[0], target[1], ""
            target = None


def broken_marks(path):
    """Lines that name a specification but begin no quotation (a wrong anchor), and comments right
    after a quotation that hold its marks (reflowed by a formatter)."""
    quoting = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        comment = line.lstrip().startswith(("//", "#"))
        if comment and "docs/spec/draft" in line and not TARGET.match(line):
            yield number
        elif quoting and comment and not WORDS.match(line) and " # " in line:
            yield number
        quoting = bool(WORDS.match(line))


def check(root, path, texts):
    for number in broken_marks(path):
        yield f"{path.relative_to(root)}:{number}: the quotation is not of the form " \
              "`//= docs/spec/FILE#section-N` on a line of its own"
    for line, name, section, words in quotations(path):
        where = f"{path.relative_to(root)}:{line}"
        if name not in texts:
            file = root / name
            texts[name] = sections(file) if file.is_file() else None
        if texts[name] is None:
            yield f"{where}: {name} does not exist"
        elif section not in texts[name]:
            yield f"{where}: {name} has no section {section}"
        elif not words:
            yield f"{where}: quotes nothing"
        elif words not in texts[name][section]:
            yield f"{where}: section {section} does not say: {words}"


def self_test(root):
    """A checker that cannot fail proves nothing."""
    draft = "docs/spec/draft-carrel-ipsecme-controller-ike-00.txt"
    mark = "/" + "/"
    good = f"{mark}= {draft}#section-7\n{mark}# The tests which MUST be performed\n"
    cases = {good: 0, good.replace("MUST", "SHOULD"): 1, good.replace("-7", "-6"): 1,
             good.replace("-7", "-99"): 1, good.replace("draft-c", "draft-d"): 1,
             good.split("\n", maxsplit=1)[0] + "\nint x;\n": 1,
             good.replace("#section-7", "#chapter-7"): 1,
             f"{mark} words {good}": 1, f"{good}{mark} of # a sentence\n": 1}
    scratch = root / "build"
    scratch.mkdir(exist_ok=True)
    file = scratch / "quotes_self_test.cpp"
    try:
        for text, want in cases.items():
            file.write_text(text, encoding="utf-8")
            got = len(list(check(root, file, {})))
            if got != want:
                yield f"self-test: {got} complaints, not {want}, about\n{text}"
    finally:
        file.unlink()


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    files = [f for top in ("src", "apps", "tests", "bench")
             for kind in ("*.cpp", "*.h", "*.py") for f in sorted((root / top).rglob(kind))]
    texts, count = {}, 0
    complaints = list(self_test(root))
    for file in files:
        count += sum(1 for _ in quotations(file))
        complaints += check(root, file, texts)
    for complaint in complaints:
        print(complaint)
    print(f"{count} quotations, {len(complaints)} complaints")
    return 1 if complaints or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
