"""Every regular expression of the product takes linear time for input that is made to be its worst.

The inputs follow from the parsed pattern: its characters alone and in pairs, what its parts match, repeated, behind
whatever the pattern needs before them, and with an end that does not match.
"""

import ast
import importlib
import itertools
import pkgutil
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import lightmeter

SMALL, LARGE = 1_500, 100_000
MAX_CPU_S = 0.5
"""Linear patterns take some milliseconds for the large input, quadratic ones more than five seconds."""
METHODS = {"search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
CATEGORIES = {sre.CATEGORY_DIGIT: "1", sre.CATEGORY_WORD: "a", sre.CATEGORY_SPACE: " "}


def patterns() -> Iterator[tuple[str, "re.Pattern[Any]", set[str]]]:
    """Yield where a pattern is defined, the pattern, and the methods that it is used with."""
    names = [module.name for module in pkgutil.walk_packages(lightmeter.__path__, "lightmeter.")]
    for name in names:
        if name.endswith(("__main__", "migrations.env")) or ".migrations.versions" in name:
            continue
        module = importlib.import_module(name)
        tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
        calls = defaultdict(set)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                calls[ast.unparse(node.func.value)].add(node.func.attr)
                if ast.unparse(node.func.value) == "re" and isinstance(node.args[0], ast.Constant):
                    flags = sum(getattr(re, flag) for flag in re.findall(r"re\.([A-Z]+)\b", ast.unparse(node)))
                    yield f"{name}:{node.lineno}", re.compile(node.args[0].value, flags), {node.func.attr}
        for key, value in vars(module).items():
            for pattern in compiled(value):
                yield f"{name}.{key}", pattern, calls.get(key) or {"search"}


def compiled(value: object) -> Iterator["re.Pattern[Any]"]:
    """Yield the compiled patterns in a module's attribute."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from compiled((*value, *value.values()))
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from compiled(item)


def sample(items: Iterable[Any]) -> str:
    """Return a short text that a parsed pattern matches."""
    return "".join(map(sample_of, items))


def sample_of(node: tuple[Any, Any]) -> str:  # noqa: PLR0911 - one for each kind of node
    operator, argument = node
    if operator is sre.LITERAL:
        return chr(argument)
    if operator is sre.IN:
        return characters(argument)[0]
    if operator is sre.ANY:
        return "a"
    if operator is sre.NOT_LITERAL:
        return next(char for char in "a1 " if ord(char) != argument)
    if operator is sre.BRANCH:
        return sample(argument[1][0])
    if operator is sre.SUBPATTERN:
        return sample(argument[-1])
    if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return sample(argument[2]) * max(argument[0], 1)
    return sample(argument) if operator is sre.ATOMIC_GROUP else ""


def characters(items: list[tuple[Any, Any]]) -> list[str]:
    """Return characters that a set matches."""
    if items[0][0] is sre.NEGATE:
        excluded = "".join(characters(items[1:]))
        return [char for char in "a1 ~;\t" if char not in excluded] or ["é"]
    chars = []
    for operator, argument in items:
        if operator is sre.LITERAL:
            chars.append(chr(argument))
        elif operator is sre.RANGE:
            chars += [chr(argument[0]), chr(argument[1])]
        else:
            chars.append(CATEGORIES.get(argument, "~"))
    return chars


def parts(items: Any, before: str = "") -> Iterator[tuple[str, str, list[str]]]:
    """Yield for each part of a pattern what it needs before it, what it matches, and its characters."""
    for node in items:
        operator, argument = node
        chars = characters(argument) if operator is sre.IN else []
        yield before, sample_of(node), chars
        if operator is sre.BRANCH:
            for branch in argument[1]:
                yield from parts(branch, before)
        elif operator is sre.SUBPATTERN:
            yield from parts(argument[-1], before)
        elif operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            yield from parts(argument[2], before)
        elif operator in (sre.ASSERT, sre.ASSERT_NOT):
            yield from parts(argument[1], before)
        before += sample_of(node)


def worst_cases(pattern: "re.Pattern[Any]") -> list[tuple[str, str, str]]:
    """Return beginnings, repeated texts and ends."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    nodes = list(parts(_parser.parse(text, pattern.flags & ~re.UNICODE)))
    chars = list(dict.fromkeys([*"a1 ", *(char for _, matched, more in nodes for char in (*matched[:8], *more))]))[:24]
    pumps = {
        *chars,
        *(matched for _, matched, _ in nodes),
        *(before for before, _, _ in nodes),
        *({"".join(c) for _, m, c in nodes}),
    }
    cases = {("", pump, end) for pump in pumps for end in ("", "\0", "a", "1")}
    cases |= {("", "".join(pair), "\0") for pair in itertools.permutations(chars[:12], 2)}
    cases |= {
        (before, pump, end)
        for before, matched, more in nodes
        for pump in (matched, *more, *chars[:6])
        for end in ("", "\0")
    }
    return [case for case in cases if case[1]]


def cpu_s(pattern: "re.Pattern[Any]", methods: set[str], case: tuple[str, str, str], size: int) -> float:
    before, pump, end = case
    text: Any = before + pump * (size // len(pump)) + end
    if isinstance(pattern.pattern, bytes):
        text = text.encode("latin-1", "replace")
    started = time.thread_time()
    for method in methods:
        if method in ("sub", "subn", "split", "findall", "finditer"):
            pattern.findall(text)
        else:
            getattr(pattern, method)(text)
    return time.thread_time() - started


def test_every_pattern_takes_linear_time() -> None:
    quadratic = []
    for where, pattern, methods in patterns():
        slowest = sorted(worst_cases(pattern), key=lambda case: cpu_s(pattern, methods, case, SMALL))[-3:]
        quadratic += [(where, case) for case in slowest if cpu_s(pattern, methods, case, LARGE) > MAX_CPU_S]
    assert not quadratic


def test_quadratic_patterns_are_detected() -> None:
    for text in (r"a*b", r"\[\s*([^\]]+)\]", r"(?:a|b)*c", r"\s+$", r"x.*y"):
        pattern = re.compile(text)
        assert any(cpu_s(pattern, {"search"}, case, 8_000) > 0.005 for case in worst_cases(pattern)), text
