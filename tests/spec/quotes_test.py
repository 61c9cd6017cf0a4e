#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every quotation of a specification against its text.

The words of a quotation (see quotations.py) must stand in that section of the file, white space
apart. What a quotation is for is trace.py's question.

usage: quotes_test.py REPOSITORY
"""

import pathlib
import sys

import quotations


def check(root, path, texts):
    for number in quotations.broken_marks(path):
        yield f"{path.relative_to(root)}:{number}: the quotation is not of the form " \
              "`//= docs/spec/FILE#section-N` on a line of its own"
    for quote in quotations.quotations(path):
        where = f"{path.relative_to(root)}:{quote.start}"
        if quote.file not in texts:
            file = root / quote.file
            texts[quote.file] = quotations.sections(file) if file.is_file() else None
        text = texts[quote.file]
        if text is None:
            yield f"{where}: {quote.file} does not exist"
        elif quote.section not in text:
            yield f"{where}: {quote.file} has no section {quote.section}"
        elif not quote.words:
            yield f"{where}: quotes nothing"
        elif quote.words not in text[quote.section]:
            yield f"{where}: section {quote.section} does not say: {quote.words}"


def self_test(root):
    """A checker that cannot fail proves nothing."""
    draft = "docs/spec/draft-carrel-ipsecme-controller-ike-00.txt"
    mark = "/" + "/"
    good = f"{mark}= {draft}#section-7\n{mark}# The tests which MUST be performed\n"
    cases = {good: 0, good.replace("MUST", "SHOULD"): 1, good.replace("-7", "-6"): 1,
             good.replace("-7", "-99"): 1, good.replace("draft-c", "draft-d"): 1,
             good.split("\n", maxsplit=1)[0] + "\nint x;\n": 1,
             good.replace("#section-7", "#chapter-7"): 1,
             f"{mark} words {good}": 1, f"{good}{mark} of # a sentence\n": 1,
             good.split("\n", maxsplit=1)[0] + "\n" + good: 1,
             f"{mark}= docs/protocol.md#section-5.2\n{mark}# Both directions may hold\n": 0,
             f"{mark}= docs/protocol.md#section-5\n{mark}# Both directions may hold\n": 1}
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
    texts, count = {}, 0
    complaints = list(self_test(root))
    for file in quotations.sources(root):
        count += sum(1 for _ in quotations.quotations(file))
        complaints += check(root, file, texts)
    for complaint in complaints:
        print(complaint)
    print(f"{count} quotations, {len(complaints)} complaints")
    return 1 if complaints or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
