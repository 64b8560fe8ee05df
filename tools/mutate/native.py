"""Mutants of the C++ sources: where they are, and the text in which all of them are switches.

clang-format has been here: a binary operator stands between two spaces (or ends its line), the < of
a template does not. See switches.h for what is written in place of what.
"""

import re
from dataclasses import dataclass

# In csrc/: the formulas, and how the CPU engine forms their sums.
FILES = ("core/**/*.h", "cpu/row*.h", "cpu/near.h", "cpu/vector.h", "cpu/score_row.*")
SKIPPED = ("_template.h", "host_device.h")  # not part of the library; nothing in it

OPERATORS = {
    "+": ("Add", ["-"]),
    "-": ("Sub", ["+"]),
    "*": ("Mul", ["/"]),
    "/": ("Div", ["*"]),
    "<": ("Lt", ["<=", ">="]),
    "<=": ("Le", ["<", ">"]),
    ">": ("Gt", [">=", "<="]),
    ">=": ("Ge", [">", "<"]),
    "==": ("Eq", ["!="]),
    "!=": ("Ne", ["=="]),
    "+=": ("AddTo", ["-="]),
    "-=": ("TakeFrom", ["+="]),
    "*=": ("MultiplyBy", ["/="]),
    "&&": ("passes", ["&& false &&"]),
    "||": ("fails", ["|| true ||"]),
}
TOKEN = re.compile(
    r"(?<=[^\s,(\[{=<>&|?:]) (?P<op>[-+*]=?|/|[<>]=?|[=!]=|&&|\|\|)(?=[ \n])"
    r"|(?<![\w.'])(?P<number>\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+|\d+)(?![\w.'])"
)
HIDDEN = re.compile(  # comments, strings, attributes that want constants, the preprocessor's lines
    r"//[^\n]*|/\*.*?\*/"
    r"|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    r"|__attribute__\(\(vector_size[^\n]*"
    r"|^#[^\n]*(?:\\\n[^\n]*)*",
    re.S | re.M,
)


@dataclass(frozen=True)
class Mutant:
    number: int
    path: str
    line: int
    was: str
    now: str
    text: str  # the line, as it is

    @property
    def name(self):
        return f"{self.path}:{self.line} {self.was} -> {self.now}"


def sources(root):
    found = {path for pattern in FILES for path in (root / "csrc").glob(pattern)}
    return sorted(path for path in found if path.name not in SKIPPED)


def is_switch(mutant, left_out):
    """Whether a mutant is in the library.

    left_out: {(path, line): 1 if the compiler wants its literals to be constants, 2 if its operators too}
    """
    return left_out.get((mutant.path, mutant.line), 0) < (1 if mutant.was[0].isdigit() else 2)


def switched(text, path, first, left_out):
    """The text with its switches, and its mutants, numbered from `first` on."""
    hidden = HIDDEN.sub(lambda m: re.sub(r"[^\n]", "\0", m[0]), text)
    lines = text.splitlines()
    pieces, mutants, at, number = [], [], 0, first
    for match in TOKEN.finditer(hidden):
        line = hidden.count("\n", 0, match.start()) + 1
        if match["op"]:
            name, others = OPERATORS[match["op"]]
            call = f"{name}<{number}>{'()' if name in ('passes', 'fails') else '{}'}"
            new = f" {match['op']} drsl_mutants::{call} {match['op']}"
        else:
            number_is = match["number"]
            zero = float(number_is) == 0
            whole = re.fullmatch(r"\d+", number_is)
            others = [str(int(number_is) + 1) if whole else "1" if zero else f"2 * {number_is}"]
            new = f"drsl_mutants::literal<{number}>({number_is})"
        was = match["op"] or match["number"]
        mutants += [
            Mutant(number + k, path, line, was, other, lines[line - 1].strip())
            for k, other in enumerate(others)
        ]
        if is_switch(mutants[-1], left_out):
            pieces += [text[at : match.start()], new]
            at = match.end()
        number += len(others)
    return "".join(pieces) + text[at:], mutants


def all_mutants(root):
    """Every mutant of the sources in `root`, numbered from 1; the numbers depend on the text alone."""
    return [mutant for _, _, some in rewritten(root, {}) for mutant in some]


def rewritten(root, left_out):
    """(path, text with switches, mutants) of each source."""
    number = 1
    for path in sources(root):
        name = str(path.relative_to(root))
        text, mutants = switched(path.read_text(), name, number, left_out)
        number += len(mutants)
        # Constants of a function become variables, so that their values are not fixed by the compiler.
        text = re.sub(r"^( +)constexpr (T|double) (\w+) =", r"\1const \2 \3 =", text, flags=re.M)
        yield path, text, mutants
