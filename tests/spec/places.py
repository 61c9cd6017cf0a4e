# SPDX-License-Identifier: Apache-2.0
"""What a quotation stands above, by name: a function or type in code, a test in a test.

Names, not line numbers, so that a page that lists them stays true while lines move. Reads the
sources as the project's formatter leaves them: what encloses a line is indented less.
"""

import re

GTEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)")
PYTHON = re.compile(r"^(\s*)(def|class) (\w+)")
TYPE = re.compile(r"^(?:template <.*> )?(?:class|struct|enum class|union)(?: \[\[\w+\]\])? (\w+(?:::\w+)*)")
CONSTANT = re.compile(r"^(?:inline |static |const |constexpr )+[\w:<>, ]+?\b(k\w+)\b")
FUNCTION = re.compile(r"^(?!return\b|if\b|for\b|while\b|switch\b|else\b|case\b|using\b|#)"
                      r"[^=({]*?([\w:~]+|operator\S+)\(")


def _indent(line):
    return len(line) - len(line.lstrip())


def _is_code(line):
    text = line.strip()
    return bool(text) and not text.startswith(("//", "#", "/*", "*", "}", "namespace", "public:", "private:",
                                               "protected:"))


def _name(text):
    """(name, is it a type) of what a line of C++ begins to define; (None, False) for statements."""
    for pattern in (TYPE, CONSTANT, FUNCTION):
        found = pattern.match(text)
        if found:
            return found.group(1), pattern is TYPE
    return None, False


def _next_code(lines, at):
    while at < len(lines) and not _is_code(lines[at]):
        at += 1
    return at


def _overload(lines, name, text):
    """"(Type)" of the first parameter where the file defines several functions of this name."""
    called = re.compile(r"^[\w:<>,&*\[\] ]+ " + re.escape(name) + r"\(")
    first = re.search(re.escape(name) + r"\((?:const )?([\w:]+)", text)
    several = sum(1 for line in lines if called.match(line)) > 1
    return f"({first.group(1)})" if several and first else ""


def code(path, quote):
    """`Class::function` of a Quotation in a C++ source or header; "" where nothing is defined."""
    lines = path.read_text(encoding="utf-8").splitlines()
    indent = _indent(lines[quote.start - 1])
    at = _next_code(lines, quote.end - 1)
    chain = [" ".join(line.strip() for line in lines[at:at + 3])]
    for line in reversed(lines[:quote.start - 1]):
        if _is_code(line) and _indent(line) < indent:
            indent = _indent(line)
            chain.insert(0, line.strip())
    names = []
    for text in chain:  # from the outermost; what is inside a function are statements
        name, is_type = _name(text)
        if name:
            names.append(name + _overload(lines, name, text))
        if not is_type:
            break
    return "::".join(names)


def test(path, quote):
    """Of a Quotation with type=test: "Suite.Name" of the GoogleTest below, "Class.test_x" or "test_x"
    of a Python test; None when it stands above no test."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".py":
        return _python_test(lines, quote)
    at = _next_code(lines, quote.end - 1)
    found = GTEST.match(" ".join(line.strip() for line in lines[at:at + 2]))
    return ".".join(found.groups()) if found else None


def _python_test(lines, quote):
    at = quote.end - 1
    while at < len(lines) and (not lines[at].strip() or lines[at].lstrip().startswith(("#", "@"))):
        at += 1
    found = PYTHON.match(lines[at]) if at < len(lines) else None
    if not found or found.group(2) != "def" or not found.group(3).startswith("test_"):
        return None
    if not found.group(1):
        return found.group(3)
    for line in reversed(lines[:at]):
        outer = PYTHON.match(line)
        if outer and not outer.group(1):
            return f"{outer.group(3)}.{found.group(3)}"
    return None


def all_tests(path):
    """The names of every test of a source, as test() gives them."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return {".".join(names) for names in re.findall(GTEST.pattern, text, re.MULTILINE)}
    names, outer = set(), ""
    for line in text.splitlines():
        found = PYTHON.match(line)
        if found and not found.group(1):
            outer = found.group(3)
        if found and found.group(2) == "def" and found.group(3).startswith("test_"):
            names.add(f"{outer}.{found.group(3)}" if found.group(1) else found.group(3))
    return names
