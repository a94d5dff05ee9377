"""The query language of ``--where``: a question about photographs, made into an SQL condition.

``iso <= 400 and not monochrome and licence in (CC0, CC-BY)``
"""

from collections.abc import Collection
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError
from sqlalchemy import ColumnElement, and_, false, func, not_, or_

from lightmeter.errors import UsageError
from lightmeter.harvest.catalogue.query.fields import Field, InvalidValue, field, field_names
from lightmeter.plugins import unknown_name_message

Condition = ColumnElement[bool]

_GRAMMAR = r"""
?query: all ("or"i all)*                          -> any_of
?all: one ("and"i one)*                           -> all_of
?one: "not"i one                                  -> none_of
    | "(" query ")"
    | NAME SIGN value                             -> comparison
    | NAME "in"i "(" value ("," value)* ")"       -> member
    | NAME "is"i "missing"i                       -> missing
    | NAME "is"i "known"i                         -> known
    | NAME                                        -> flag
value: WORD | STRING

NAME: /[A-Za-z_][A-Za-z0-9_.-]*/
SIGN: "<=" | ">=" | "!=" | "==" | "<" | ">" | "=" | "~"
WORD: /[^\s()"',<>=!~]+/
STRING: /"[^"]*"|'[^']*'/
%ignore /\s+/
"""
_EXPECTED = {
    "NAME": "a field",
    "SIGN": "a comparison (= != < <= > >= ~)",
    "WORD": "a value",
    "RPAR": "')'",
    "IN": "'in'",
    "IS": "'is'",
    "AND": "'and'",
    "OR": "'or'",
}


def parse_where(text: str) -> Condition:
    """Return the condition on the table ``images`` that a query stands for.

    A comparison with a value that is missing is false, and its ``not`` true.

    Args:
        text: a query.

    Raises:
        UsageError: if the query is wrong; the message points at the place and names what could stand there.
    """
    try:
        return _CONDITIONS.transform(_PARSER.parse(text))  # type: ignore[no-any-return]
    except UnexpectedInput as error:
        place = _place(text, error)
        raise _wrong(text, place, _surprise(text, place, error)) from error
    except VisitError as error:
        if not isinstance(error.orig_exc, _Misplaced):
            raise
        raise _wrong(text, error.orig_exc.place, str(error.orig_exc)) from error


class _Misplaced(Exception):
    """A word that is wrong where it stands."""

    def __init__(self, sentence: str, token: Token) -> None:
        super().__init__(sentence)
        self.place = token.start_pos or 0


@v_args(inline=True)
class _Conditions(Transformer[Token, Any]):
    """Makes conditions of a query's parts, from the inside out."""

    def value(self, token: Token) -> Token:
        return token.update(value=token[1:-1]) if token.type == "STRING" else token

    def comparison(self, name: Token, sign: Token, value: Token) -> Condition:
        same = {"==": "=", "!=": "="}.get(sign, str(sign))
        found = _test(_field(name), same, value)
        return not_(found) if sign == "!=" else found

    def member(self, name: Token, *values: Token) -> Condition:
        of = _field(name)
        return or_(*(_test(of, "=", value) for value in values))

    def known(self, name: Token) -> Condition:
        return _certain(_field(name).known)

    def missing(self, name: Token) -> Condition:
        return not_(self.known(name))

    def flag(self, name: Token) -> Condition:
        of = _field(name)
        if of.flag is None:
            raise _Misplaced(f"'{name}' needs a comparison, such as {name} = … or {name} is known", name)
        return _certain(of.flag)

    def any_of(self, *conditions: Condition) -> Condition:
        return or_(*conditions)

    def all_of(self, *conditions: Condition) -> Condition:
        return and_(*conditions)

    def none_of(self, condition: Condition) -> Condition:
        return not_(condition)


def _field(name: Token) -> Field:
    found = field(str(name))
    if found is None:
        raise _Misplaced(
            unknown_name_message("field", str(name), field_names()).rstrip(".").replace("Unknown", "unknown"), name
        )
    return found


def _test(of: Field, sign: str, value: Token) -> Condition:
    try:
        return _certain(of.test(sign, str(value)))
    except InvalidValue as error:
        raise _Misplaced(str(error), value) from error


def _certain(condition: Condition) -> Condition:
    """Make what SQL leaves unknown false, so that ``not`` turns it."""
    return func.coalesce(condition, false())


def _surprise(text: str, place: int, error: UnexpectedInput) -> str:
    expected: Collection[str] = getattr(error, "accepts", None) or getattr(error, "allowed", None) or ()
    could = sorted({_EXPECTED[name] for name in expected if name in _EXPECTED})
    found = repr(text[place:].split(maxsplit=1)[0]) if place < len(text) else "the end"
    return f"{found} cannot stand here, but {' or '.join(could) or 'nothing'}"


def _place(text: str, error: UnexpectedInput) -> int:
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    return len(text) if ended or error.pos_in_stream is None else error.pos_in_stream


def _wrong(text: str, place: int, sentence: str) -> UsageError:
    sentence = sentence if sentence.endswith("?") else f"{sentence}."
    return UsageError(f"The query is wrong at column {place + 1}: {sentence}\n  {text}\n  {' ' * place}^")


_PARSER = Lark(_GRAMMAR, parser="lalr", start="query", propagate_positions=True)
_CONDITIONS = _Conditions()
