"""Mutants of the PyTorch reference: places in its syntax trees, and how one is put into a running process."""

import ast
import copy
import gc
import types

from native import Mutant

FOLDER = "drsl_cuda/reference"

BINARY = {
    ast.Add: ("+", "-", ast.Sub),
    ast.Sub: ("-", "+", ast.Add),
    ast.Mult: ("*", "/", ast.Div),
    ast.Div: ("/", "*", ast.Mult),
    ast.BitAnd: ("&", "|", ast.BitOr),
    ast.BitOr: ("|", "&", ast.BitAnd),
}
COMPARED = {
    ast.Lt: ("<", [("<=", ast.LtE), (">=", ast.GtE)]),
    ast.LtE: ("<=", [("<", ast.Lt), (">", ast.Gt)]),
    ast.Gt: (">", [(">=", ast.GtE), ("<=", ast.LtE)]),
    ast.GtE: (">=", [(">", ast.Gt), ("<", ast.Lt)]),
    ast.Eq: ("==", [("!=", ast.NotEq)]),
    ast.NotEq: ("!=", [("==", ast.Eq)]),
    ast.Is: ("is", [("is not", ast.IsNot)]),
    ast.IsNot: ("is not", [("is", ast.Is)]),
}
JOINED = {ast.And: ("and", "or", ast.Or), ast.Or: ("or", "and", ast.And)}
ALONE = {ast.USub: "-", ast.Not: "not", ast.Invert: "~"}


def changes(node):
    """[(was, now, function that makes the node so)] of one node."""
    if isinstance(node, ast.BinOp) and type(node.op) in BINARY:
        was, now, op = BINARY[type(node.op)]
        return [(was, now, lambda n: ast.BinOp(n.left, op(), n.right))]
    if isinstance(node, ast.AugAssign) and type(node.op) in BINARY:
        was, now, op = BINARY[type(node.op)]
        return [(was + "=", now + "=", lambda n: ast.AugAssign(n.target, op(), n.value))]
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        was, others = COMPARED[type(node.ops[0])]
        return [
            (was, now, lambda n, op=op: ast.Compare(n.left, [op(), *n.ops[1:]], n.comparators))
            for now, op in others
        ]
    if isinstance(node, ast.BoolOp):
        was, now, op = JOINED[type(node.op)]
        return [(was, now, lambda n: ast.BoolOp(op(), n.values))]
    if isinstance(node, ast.UnaryOp) and type(node.op) in ALONE:
        return [(ALONE[type(node.op)], "nothing", lambda n: n.operand)]
    if isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        value = node.value
        new = (
            (not value) if isinstance(value, bool) else value + 1 if value in (0, 1) else 2 * value
        )
        return [(str(value), str(new), lambda n: ast.Constant(new))]
    return []


def places(tree):
    """(node, change) of all mutants of a module, in the order of its text: bodies of functions only."""

    def inside(node, within):
        for name, value in ast.iter_fields(node):
            if name in ("decorator_list", "args", "returns", "annotation"):
                if not (name == "args" and isinstance(node, ast.Call)):
                    continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    if within:
                        for change in changes(child):
                            yield child, change
                    yield from inside(child, within or isinstance(child, ast.FunctionDef))

    yield from inside(tree, False)


def all_mutants(root, first):
    mutants = []
    for path in sorted((root / FOLDER).glob("*.py")):
        text = path.read_text()
        for node, (was, now, _) in places(ast.parse(text)):
            line = text.splitlines()[node.lineno - 1].strip()
            number = first + len(mutants)
            mutants.append(Mutant(number, str(path.relative_to(root)), node.lineno, was, now, line))
    return mutants


class Replace(ast.NodeTransformer):
    def __init__(self, node, change):
        self.node, self.change = node, change

    def visit(self, node):
        if node is self.node:
            return ast.copy_location(self.change(copy.copy(node)), node)
        return self.generic_visit(node)


def activate(root, mutant, mutants):
    """Every function of the module that the mutant is in gets the mutant's code."""
    path = root / mutant["path"]
    tree = ast.parse(path.read_text())
    rank = [m["number"] for m in mutants if m["path"] == mutant["path"]].index(mutant["number"])
    node, (_, _, change) = list(places(tree))[rank]
    mutated = ast.fix_missing_locations(Replace(node, change).visit(tree))
    codes = dict(functions_in(compile(mutated, str(path), "exec")))
    changed = 0
    for f in gc.get_objects():
        if type(f) is types.FunctionType and f.__code__.co_filename == str(path):
            key = f.__code__.co_name, f.__code__.co_firstlineno
            if key in codes and codes[key] != f.__code__:
                f.__code__ = codes[key]
                changed += 1
    return changed


def functions_in(code):
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield (constant.co_name, constant.co_firstlineno), constant
            yield from functions_in(constant)
