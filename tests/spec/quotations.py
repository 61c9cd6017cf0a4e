# SPDX-License-Identifier: Apache-2.0
"""Quotations of a specification in sources, and the specification's text by section.

A quotation is a line `//= FILE#section-N` (or `#=` in scripts), perhaps `//= type=test`, then lines
`//# words`. The files quoted are those in docs. Read by quotes_test.py, which asks whether the words
stand there, and by trace.py, which asks what they stand above.
"""

import dataclasses
import pathlib
import re

TARGET = re.compile(r"^\s*(?://|#)=\s*(docs/\S+?)#section-(\S+)\s*$")
OPTION = re.compile(r"^\s*(?://|#)=\s*type=(\w+)\s*$")
WORDS = re.compile(r"^\s*(?://|#)#\s?(.*)$")
HEADING = re.compile(r"^\[?(?:Appendix )?((?:\d+|[A-Z])(?:\.\d+)*)\.\s")
MARKDOWN = re.compile(r"^#+ (\d+(?:\.\d+)*)\.?\s")
TOPS = ("src", "apps", "tests", "bench")
KINDS = (".cpp", ".h", ".py")


@dataclasses.dataclass(frozen=True)
class Quotation:
    start: int  # line of the target, from 1
    end: int  # line after the last of the quotation
    file: str
    section: str
    type: str  # "" or what `type=` says
    words: str  # folded


def fold(text):
    return " ".join(text.split())


def sources(root):
    for top in TOPS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in KINDS and path.is_file():
                yield path


def is_test(name):
    """Of a path below the repository: is it no part of what ships?"""
    path = pathlib.PurePosixPath(name)
    return (path.parts[0] in ("tests", "tools", "bench") or "e2e" in path.parts
            or re.search(r"(^|_)(test|fake)(_|\.)", path.name) is not None)


def sections(path):
    """Folded text by section number; headings may carry links, as in '[6.1.](#) Title'."""
    out, number = {}, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        plain = line.replace("](#)", "").replace("[", "", 1) if line.startswith("[") else line
        heading = MARKDOWN.match(line) if path.suffix == ".md" else HEADING.match(plain)
        # A numbered list item is a sentence, a heading is not.
        if heading and len(plain) < 76 and not plain.rstrip().endswith((".", ":")):
            number = heading.group(1)
        out[number] = out.get(number, "") + "\n" + line
    return {key: fold(text) for key, text in out.items()}


def quotations(path):
    """Every Quotation of one source file; its words are "" when it quotes nothing."""
    target, kind, words, start = None, "", [], 0
    lines = path.read_text(encoding="utf-8").splitlines() + [""]
    for number, line in enumerate(lines, 1):
        said = WORDS.match(line) if target else None
        if said:
            words.append(said.group(1))
            continue
        option = OPTION.match(line) if target and not words else None
        if option:
            kind = option.group(1)
            continue
        if target:
            yield Quotation(start, number, *target, kind, fold(" ".join(words)))
        found = TARGET.match(line)
        target, kind, words, start = found.groups() if found else None, "", [], number


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
