"""Conditions over metrics, such as ``auc >= champion.auc + 0.002 and slice.min_auc > 0.7``.

Python's syntax of numbers, comparisons, ``and``, ``or``, ``not``, ``+ - * /``, ``min``, ``max`` and ``abs``; simpleeval
computes it. A name is a metric of the candidate's run, one that begins with ``champion.`` a metric of the champion's. Names
that Python could not parse are written ``metric("val/auc")`` and ``champion("val/auc")``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from simpleeval import InvalidExpression, SimpleEval

CHAMPION: Final = "champion."
MAX_LENGTH: Final = 1000
MAX_DEPTH: Final = 100
"""Nested parts of a condition: it is evaluated by recursion, in the supervisor."""
_METRIC: Final = "metric"
_FUNCTIONS: Final = {"min": min, "max": max, "abs": abs}
_ALLOWED: Final = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div,
    ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.Name, ast.Attribute, ast.Constant, ast.Call, ast.Load,
)  # fmt: skip
_FORM: Final = "numbers, metrics, comparisons, and, or, not, + - * /, min, max and abs"


def expression_error(text: str) -> str | None:
    """Return what is wrong with a condition, or None."""
    if len(text) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"is no condition: {getattr(error, 'msg', None) or error}"
    if _depth(tree) > MAX_DEPTH:
        return f"is nested more than {MAX_DEPTH} levels deep, or has a longer sum: write fewer terms"
    return next(_problems(tree), None) or _kind_error(tree.body)


def names_in(text: str) -> list[str]:
    """Return the metrics of a valid condition, in order; those of the champion begin with ``champion.``."""
    nodes = list(ast.walk(_tree(text)))
    parts = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    parts |= {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    found = (_metric_of(node) for node in nodes if id(node) not in parts)
    return list(dict.fromkeys(name for name in found if name is not None))


def holds(text: str, values: Mapping[str, float]) -> bool:
    """Evaluate a valid condition, all of whose metrics have values.

    Raises:
        ValueError: it cannot be computed, e.g. it divides by zero.
    """
    evaluator: Any = SimpleEval(functions=_FUNCTIONS)

    def value_of(node: ast.AST) -> Any:
        name = _metric_of(node)
        return values[name] if name is not None else call(node)

    call: Any = evaluator.nodes[ast.Call]
    evaluator.nodes |= {ast.Name: value_of, ast.Attribute: value_of, ast.Call: value_of}
    try:
        return bool(evaluator.eval(text.strip()))
    except (InvalidExpression, ArithmeticError, TypeError) as error:
        raise ValueError(str(error)) from error


def _tree(text: str) -> ast.Expression:
    return ast.parse(text.strip(), mode="eval")


def _depth(tree: ast.Expression) -> int:
    depth, level = 0, [*ast.iter_child_nodes(tree)]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _problems(tree: ast.Expression) -> Iterator[str]:
    texts = {id(node.args[0]) for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_lookup(node)}
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            yield f"has {type(node).__name__}; a condition has {_FORM}"
        elif isinstance(node, ast.Constant) and not _is_number(node.value) and id(node) not in texts:
            yield f"has {node.value!r}; a condition has {_FORM}"
        elif isinstance(node, ast.Call) and not _is_lookup(node) and not _is_function(node):
            yield 'calls something; it may call min, max, abs, metric("name") and champion("name")'
        elif isinstance(node, ast.Attribute) and _dotted(node) is None:
            yield 'has a dot after something that is no name; write metric("name") for names of another form'


def _kind_error(node: ast.expr) -> str | None:
    """Return an error where the whole is a number: ``auc`` alone would always hold."""
    if isinstance(node, ast.Compare):
        return None
    if isinstance(node, ast.BoolOp):
        return next((error for value in node.values if (error := _kind_error(value))), None)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _kind_error(node.operand)
    return "has a number where a comparison belongs, like auc > 0.8"


def _metric_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call):
        if not _is_lookup(node):
            return None
        (argument,) = node.args
        prefix = CHAMPION if isinstance(node.func, ast.Name) and node.func.id != _METRIC else ""
        return prefix + str(argument.value) if isinstance(argument, ast.Constant) else None
    return _dotted(node)


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)) is not None:
        return f"{before}.{node.attr}"
    return None


def _is_lookup(node: ast.Call) -> bool:
    named = isinstance(node.func, ast.Name) and node.func.id in (_METRIC, CHAMPION[:-1])
    return named and len(node.args) == 1 and not node.keywords and isinstance(getattr(node.args[0], "value", None), str)


def _is_function(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and bool(node.args) and not node.keywords


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # An integer beyond every float.
        return False
