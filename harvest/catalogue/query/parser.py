"""The query language of ``--where``, compiled to SQL conditions.

``iso <= 400 and not monochrome and licence in (CC0, CC-BY)``, or short ``f:2.8-4 iso:100-400 -monochrome -tag:studio``
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from string import punctuation
from typing import Any, Generic, TypeVar

from lark import Lark, Token, Transformer, Tree, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError
from sqlalchemy import ColumnElement, and_, or_, true

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.query.comparisons import InvalidValue
from lightmeter.harvest.catalogue.query.fields import CATALOGUE, CatalogueColumns, Field, field_names, find_field
from lightmeter.harvest.catalogue.query.shorthand import matches
from lightmeter.plugins import nearest_names, unknown_name_message
from lightmeter.terminal.console import escape_unprintable

Condition = ColumnElement[bool]
T = TypeVar("T")

_GRAMMAR = r"""
?query: conjunction (_OR conjunction)*            -> any_of
?conjunction: term (_AND? term)*                  -> all_of
?term: _NOT term                                  -> negation
    | _MINUS atom                                 -> negation
    | atom
?atom: "(" query ")"
    | NAME SIGN value                             -> comparison
    | NAME _IN "(" value ("," value)* ")"         -> membership
    | NAME _IS _MISSING                           -> missing
    | NAME _IS _KNOWN                             -> present
    | NAME                                        -> flag
    | PAIR                                        -> pair
    | SAVED                                       -> saved
value: WORD | STRING

_AND.3: /and(?![A-Za-z0-9_.:-])/i
_OR.3: /or(?![A-Za-z0-9_.:-])/i
_NOT.3: /not(?![A-Za-z0-9_.:-])/i
_IN.3: /in(?![A-Za-z0-9_.:-])/i
_IS.3: /is(?![A-Za-z0-9_.:-])/i
_MISSING.3: /missing(?![A-Za-z0-9_.:-])/i
_KNOWN.3: /known(?![A-Za-z0-9_.:-])/i
_MINUS: /-(?=[A-Za-z_(@])/
NAME: /(?!(?:and|or|not|in|is)(?![A-Za-z0-9_.:-]))[A-Za-z_][A-Za-z0-9_.-]*/i
SIGN: "<=" | ">=" | "!=" | "==" | "<" | ">" | "=" | "~"
WORD: /[^\s()"',<>=!~]+/
STRING: /"[^"]*"|'[^']*'/
PAIR.2: /[A-Za-z_][A-Za-z0-9_.-]*:(?:(?:<=|>=|<|>)?(?:"[^"]*"|'[^']*'|[^\s()"'<>=!~]+))*/
SAVED: /@[A-Za-z0-9_-]+/
%ignore /\s+/
"""
_TERMINALS = {
    "NAME": "a field",
    "SIGN": "a comparison (= != < <= > >= ~)",
    "WORD": "a value",
    "RPAR": "')'",
    "_IN": "'in'",
    "_IS": "'is'",
    "_MISSING": "'missing'",
    "_KNOWN": "'known'",
    "_AND": "'and'",
    "_OR": "'or'",
}


_KEYWORDS = ("and", "or", "not")
_QUOTES_HINT = 'write a text after its field and in a pair of quotation marks, such as text:"two words"'
_HINTS = {
    "-": "write ranges and exclusions without a blank beside '-'",
    "!": "write 'not'",
    "&": "write 'and'",
    "&&": "write 'and'",
    "|": "write 'or'",
    "||": "write 'or'",
    "'": _QUOTES_HINT,
    '"': _QUOTES_HINT,
}
"""What to write instead of the signs of other query languages."""

_MAX_DEPTH = 60  # of the syntax tree, which has two levels for each pair of brackets
_MAX_TERMS = 200
_MAX_VALUE_LENGTH = 1_000
_EXCERPT_LENGTH = 70  # characters before and behind the column of an error


def parse_where(text: str) -> Condition:
    """Return the condition on the table ``images`` for a query.

    A comparison with a missing value is false, and its negation true.

    Args:
        text: Query.

    Raises:
        UsageError: The query is invalid; the message names the column and what is expected there, and the
            details mark it in the query.
    """
    return compile_query(text, SQL)


def compile_query(text: str, target: "QueryTarget[T]") -> T:
    """Return what a query is compiled to.

    Args:
        text: Query.
        target: What its comparisons become, and how they are combined.

    Raises:
        UsageError: The query is invalid; the message names the column and what is expected there, and the
            details mark it in the query.
    """
    tree = _parse(text)
    try:
        return _Compiler(target).transform(tree)  # type: ignore[no-any-return]
    except VisitError as error:
        if not isinstance(error.orig_exc, _InvalidToken):
            raise
        raise _query_error(text, error.orig_exc.column, str(error.orig_exc)) from error


def condition_of(where: str) -> Condition | None:
    """Return the condition on images of an option ``--where``, or None if it is empty.

    Raises:
        UsageError: The query is invalid.
    """
    return parse_where(where) if where.strip() else None


def tokens(text: str) -> list[Token]:
    """Return the fields, operators and values of a query in order.

    Raises:
        UsageError: The query is invalid.
    """
    unordered = _parse(text).scan_values(lambda value: isinstance(value, Token))
    return sorted(unordered, key=lambda token: token.start_pos or 0)


def _parse(text: str) -> Tree[Token]:
    try:
        tree = _PARSER.parse(text)
    except UnexpectedInput as error:
        column = _column(text, error)
        raise _query_error(text, column, _syntax_message(text, column, error)) from error
    _check_size(tree)
    return tree


def _check_size(tree: Tree[Token]) -> None:
    """Refuse a query that exceeds the limits of the databases on nesting and size.

    Raises:
        UsageError: The query is too large.
    """
    terms = 0
    remaining = [(tree, 0)]
    while remaining:
        node, depth = remaining.pop()
        terms += node.data in _TERMS
        if depth > _MAX_DEPTH or terms > _MAX_TERMS:
            raise UsageError(
                f"The query is too large: it may have {_MAX_TERMS} comparisons and about {_MAX_DEPTH // 2} nested "
                "brackets; write long lists as FIELD in (…)."
            )
        remaining += [(child, depth + 1) for child in node.children if isinstance(child, Tree)]


class _InvalidToken(Exception):
    """A token that the grammar allows but its field does not."""

    def __init__(self, message: str, token: Token) -> None:
        super().__init__(message)
        self.column = token.start_pos or 0


@dataclass(frozen=True)
class QueryTarget(Generic[T]):
    """What a query is compiled to.

    Attributes:
        columns: Where the values of fields stand.
        comparison: Returns the result of one comparison.
        any_of: Returns the result of alternatives.
        all_of: Returns the result of comparisons that must all be met.
        negation: Returns the opposite of a result; that of NULL is true.
    """

    columns: CatalogueColumns
    comparison: Callable[[Condition], T]
    any_of: Callable[..., T]
    all_of: Callable[..., T]
    negation: Callable[[T], T]


@v_args(inline=True)
class _Compiler(Transformer[Token, Any]):
    """Compiles the parse tree bottom up."""

    def __init__(self, target: QueryTarget[Any]) -> None:
        super().__init__()
        self._target = target

    def value(self, token: Token) -> Token:
        if len(token) > _MAX_VALUE_LENGTH:
            raise _InvalidToken(f"the value is longer than {_MAX_VALUE_LENGTH:,} characters", token)
        return token.update(value=token[1:-1]) if token.type == "STRING" else token

    def comparison(self, name: Token, sign: Token, value: Token) -> Any:
        field, text = self._field(name), {"==": "=", "!=": "="}.get(sign, str(sign))
        with _reported_at(value):
            result = self._result(field.compare(text, str(value)))
        return self.negation(result) if sign == "!=" else result

    def membership(self, name: Token, *values: Token) -> Any:
        with _reported_at(values[0]):
            return self._result(self._field(name).equals_any([str(value) for value in values]))

    def present(self, name: Token) -> Any:
        return self._result(self._field(name).present)

    def missing(self, name: Token) -> Any:
        return self.negation(self.present(name))

    def flag(self, name: Token) -> Any:
        if find_field(str(name), self._target.columns) is None:
            similar = nearest_names(name, [*field_names(), *_KEYWORDS])
            hint = f"did you mean {' or '.join(similar)}?" if similar else f"to search for a word, write text:{name}"
            raise _InvalidToken(f"unknown field '{name}'; {hint}", name)
        field = self._field(name)
        if field.flag is None:
            raise _InvalidToken(f"'{name}' needs a comparison, such as {name} = … or {name} is known", name)
        return self._result(field.flag)

    def pair(self, token: Token) -> Any:
        name, _, text = token.partition(":")
        if not text:
            raise _InvalidToken(f"'{token}' needs a value, without a blank before it", token)
        if len(text) > _MAX_VALUE_LENGTH:
            raise _InvalidToken(f"the value is longer than {_MAX_VALUE_LENGTH:,} characters", token)
        field = self._field(token.update(value=name))
        position = token.update(value=text)
        position.start_pos = (token.start_pos or 0) + len(name) + 1
        with _reported_at(position):
            return self._result(matches(field, text))

    def saved(self, token: Token) -> Any:
        raise _InvalidToken(f"there is no saved query '{token}' here", token)

    def any_of(self, *results: Any) -> Any:
        return self._target.any_of(*results)

    def all_of(self, *results: Any) -> Any:
        return self._target.all_of(*results)

    def negation(self, result: Any) -> Any:
        return self._target.negation(result)

    def _field(self, name: Token) -> Field:
        field = find_field(str(name), self._target.columns)
        if field is None:
            message = unknown_name_message("field", str(name), field_names()).rstrip(".")
            raise _InvalidToken(message[:1].lower() + message[1:], name)
        return field

    def _result(self, condition: Condition) -> Any:
        return self._target.comparison(condition)


@contextmanager
def _reported_at(token: Token) -> Iterator[None]:
    """Report a value that a field does not accept at a token."""
    try:
        yield
    except InvalidValue as error:
        raise _InvalidToken(str(error), token) from error


def _syntax_message(text: str, column: int, error: UnexpectedInput) -> str:
    names: Collection[str] = getattr(error, "accepts", None) or getattr(error, "allowed", None) or ()
    expected = " or ".join(sorted({_TERMINALS[name] for name in names if name in _TERMINALS})) or "the end of query"
    unexpected = text[column:].split(maxsplit=1)[0] if column < len(text) else ""
    if not unexpected:
        return f"unexpected end of query; expected {expected}"
    if text[:column].rstrip().endswith(":"):
        return "write the value directly after ':'"
    signs = unexpected[: len(unexpected) - len(unexpected.lstrip(punctuation))]
    return f"unexpected '{unexpected}'; {_HINTS.get(signs, f'expected {expected}')}"


def _column(text: str, error: UnexpectedInput) -> int:
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    return len(text) if ended or error.pos_in_stream is None else error.pos_in_stream


def _query_error(text: str, column: int, message: str) -> UsageError:
    message = f"Invalid query at column {column + 1}: {message if message.endswith('?') else f'{message}.'}"
    start = max(0, column - _EXCERPT_LENGTH)
    before, after = escape_unprintable(text[start:column]), escape_unprintable(text[column : column + _EXCERPT_LENGTH])
    return UsageError(message, [before + after, " " * len(before) + "^"])


_TERMS = ("comparison", "membership", "missing", "present", "flag", "pair")
_PARSER = Lark(_GRAMMAR, parser="lalr", start="query", propagate_positions=True)


def _is_not_true(condition: Condition) -> Condition:
    return condition.is_not(true())


SQL: QueryTarget[Condition] = QueryTarget(CATALOGUE, lambda condition: condition, or_, and_, _is_not_true)
"""A condition on the table ``images``; what is NULL counts as false, which databases can look up in an index."""
