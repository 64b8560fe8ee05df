"""The mutation tool: what it finds in a text, that switches mean what they say, that nothing else changes."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools/mutate"
pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="not in a source tree")

PROGRAM = """
#include <cstdio>
#include <cstdlib>
typedef float Lanes __attribute__((vector_size(16)));
template <class T> T twice(T x) { return 2 * x; }
constexpr int kSize = 3 + 1;  // 1 + 1 in a comment, a < b
int main(int argc, char** argv) {
  const char* text = "1 + 1 < 3";
  int a = 7, b = 3, sum = 0;
  const int* p = &a;
  Lanes v = Lanes{} + 1;
  v += v * 0.5f;
  for (int k = 0; k < b; ++k) sum += k;
  const bool both = a > b && p != nullptr && *p == 7;
  const float x = a < b || v[0] >= 1.5 ? v[1] - 0.25 : 0;
  const int y = twice(3);
  std::printf("%d %d %g %d %d %s\\n", sum, both, x, kSize, y, text);
}
"""


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(TOOL))
    import native
    import reference

    yield native, reference
    sys.path.remove(str(TOOL))


def test_what_is_no_operator_is_left_alone(tool):
    native, _ = tool
    quiet = [
        "template <class T> T* f(const T& a, T&& b);",
        "// a + b < c, 1 == 2",
        'puts("a + b");',
        "x = -y; z = *p; w = &q;",
        "#define SUM(a, b) a + \\\n  b",
        "std::vector<int32_t> v_2;",
    ]
    for text in quiet:
        rewritten, mutants = native.switched(text, "a.h", 1, {})
        assert (rewritten, mutants) == (text, [])


def test_every_operator_is_found_once(tool):
    native, _ = tool
    _, mutants = native.switched(PROGRAM, "a.cpp", 1, {})
    assert [m.number for m in mutants] == list(range(1, len(mutants) + 1))
    found = [m.was for m in mutants if not m.was[0].isdigit()]
    #   main's three lines of arithmetic, the loop, both, x; a comparison has two mutants
    assert sorted(found) == sorted(
        ["*", "+", "+", "+=", "*", "<", "<", "+=", ">", ">", "&&", "!=", "&&", "=="]
        + ["<", "<", "||", ">=", ">=", "-"]
    )


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++")
def test_switches_change_one_thing_each(tool, tmp_path):
    native, _ = tool
    line = {text: k + 1 for k, text in enumerate(PROGRAM.splitlines())}
    constant = next(k for text, k in line.items() if "constexpr" in text)
    text, mutants = native.switched(PROGRAM, "a.cpp", 1, {("a.cpp", constant): 1})
    state = f"int drsl_mutant; unsigned char drsl_mutants_reached[{len(mutants) + 2}];\n"
    text = state + text.replace("{\n", "{\n  drsl_mutant = argc > 1 ? std::atoi(argv[1]) : 0;\n", 1)
    (tmp_path / "a.cpp").write_text(text)
    program = tmp_path / "a"
    command = [
        "g++",
        "-std=c++20",
        "-w",
        "-include",
        TOOL / "switches.h",
        tmp_path / "a.cpp",
        "-o",
        program,
    ]
    subprocess.run(command, check=True)

    def says(number):
        done = subprocess.run([program, str(number)], capture_output=True, text=True, timeout=120)
        return done.stdout.split(" ", 5)[:5]

    assert says(0) == ["3", "1", "1.25", "4", "6"]
    by_name = {(m.line, m.was, m.now): m.number for m in mutants}
    loop = line["  for (int k = 0; k < b; ++k) sum += k;"]
    assert says(by_name[loop, "<", "<="])[0] == "6"
    assert says(by_name[loop, "<", ">="])[0] == "0"
    assert says(by_name[loop, "+=", "-="])[0] == "-3"
    both = next(k for text, k in line.items() if "both" in text)
    assert says(by_name[both, "&&", "&& false &&"])[1] == "0"
    assert says(by_name[both, "==", "!="])[1] == "0"
    assert says(by_name[both + 1, "-", "+"])[2] == "1.75"
    assert says(by_name[both + 1, ">=", "<"])[2] == "0"
    assert says(by_name[both + 1, "||", "|| true ||"])[2] == "1.25"
    vector = next(k for text, k in line.items() if "0.5f" in text)
    assert says(by_name[vector, "*", "/"])[2] == "2.75"
    literal = by_name[constant - 1, "2", "3"]  # within a template
    assert says(by_name[both, "7", "8"])[1] == "0"
    assert says(literal)[4] == "9"
    # what the compiler evaluates is not mutated, and a literal that it wants constant is no switch
    assert all(says(m.number)[3] == "4" for m in mutants if m.line == constant)
    left_out = {("a.cpp", constant): 1}
    assert [native.is_switch(m, left_out) for m in mutants if m.line == constant] == [
        False,
        True,
        False,
    ]


def test_a_mutant_of_the_reference_is_put_into_functions(tool, tmp_path):
    _, reference = tool
    folder = tmp_path / reference.FOLDER
    folder.mkdir(parents=True)
    path = folder / "some.py"
    path.write_text("def f(x, y=4):\n    return x + 2 * y if x >= 3 else -x\n")
    mutants = [vars(m) for m in reference.all_mutants(tmp_path, 10)]
    space = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    wanted = {  # f(3), f(2); as it is: 11, -2
        ("+", "-"): (-5, -2),
        ("*", "/"): (3.5, -2),
        ("2", "4"): (19, -2),
        (">=", ">"): (-3, -2),
        (">=", "<"): (-3, 10),
        ("3", "6"): (-3, -2),
        ("-", "nothing"): (11, 2),
    }
    assert sorted((m["was"], m["now"]) for m in mutants) == sorted(wanted)
    original = space["f"].__code__
    for mutant in mutants:
        assert reference.activate(tmp_path, mutant, mutants) == 1
        assert (space["f"](3), space["f"](2)) == wanted[mutant["was"], mutant["now"]]
        space["f"].__code__ = original


def test_the_sources_have_mutants_and_stay_programs(tool):
    native, reference = tool
    mutants = native.all_mutants(ROOT)
    more = reference.all_mutants(ROOT, len(mutants) + 1)
    numbers = [m.number for m in [*mutants, *more]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(mutants) > 1000
    assert len(more) > 500
    for path in (ROOT / reference.FOLDER).glob("*.py"):
        for node, (_, _, change) in reference.places(ast.parse(path.read_text())):
            assert isinstance(change(node), ast.AST)
