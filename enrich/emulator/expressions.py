"""A small part of TaskRouter's expression language: enough for task queues that choose workers by attribute.

    key == "text"    a.b >= 3    key HAS "x"    key IN ["x", "y"]    key NOT IN [...]    key CONTAINS "x"
    joined by AND and OR, with parentheses; AND binds more tightly. `1==1` is everybody.

Anything else is refused with a clear sentence, never silently true or false.
Source: https://www.twilio.com/docs/taskrouter/expression-syntax
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Attributes = Mapping[str, object]
Predicate = Callable[[Attributes], bool]
_Value = Callable[[Attributes], object]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"[^"]*"|'[^']*')
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<word>[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)
      | (?P<sign>==|!=|>=|<=|=|>(?!-)|<(?!-)|[()\[\],])
    )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False, "null": None}
_Comparison = Callable[[Any, Any], bool]
_ORDERINGS: dict[str, _Comparison] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_KEYWORDS = {"AND", "OR", "NOT", "HAS", "IN", "CONTAINS"}


class UnsupportedExpression(ValueError):
    """This is not an expression, or one that the emulator does not know yet."""


@lru_cache(maxsize=1024)
def parse(text: str) -> Predicate:
    """A function from attributes to whether the expression holds for them; an empty expression holds for nobody.

    Raises UnsupportedExpression, with the place where understanding ended.
    """
    if not text.strip():
        return lambda _attributes: False
    parser = _Parser(_tokens(text), text)
    predicate = parser.disjunction()
    parser.expect_end()
    return predicate


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        found = _TOKEN.match(stripped, at)
        if found is None or found.lastgroup is None:
            raise UnsupportedExpression(f"not understood: {stripped[at:]!r} in expression {text!r}")
        kind, word = found.lastgroup, found[found.lastgroup]
        if kind == "word" and word.upper() in _KEYWORDS:
            kind, word = "keyword", word.upper()
        tokens.append(_Token(kind, word))
        at = found.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens: disjunction, conjunction, comparison, value."""

    def __init__(self, tokens: list[_Token], text: str) -> None:
        self._tokens = tokens
        self._at = 0
        self._text = text

    def disjunction(self) -> Predicate:
        parts = [self._conjunction()]
        while self._take("OR"):
            parts.append(self._conjunction())
        return lambda attributes: any(part(attributes) for part in parts)

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise self._unsupported()

    def _conjunction(self) -> Predicate:
        parts = [self._comparison()]
        while self._take("AND"):
            parts.append(self._comparison())
        return lambda attributes: all(part(attributes) for part in parts)

    def _comparison(self) -> Predicate:
        if self._take("("):
            inner = self.disjunction()
            self._expect(")")
            return inner
        left = self._value()
        compare = self._operator()
        right = self._value()
        return lambda attributes: compare(left(attributes), right(attributes))

    def _operator(self) -> _Comparison:
        for sign, ordering in _ORDERINGS.items():
            if self._take(sign):
                return lambda left, right: _ordered(ordering, left, right)
        if self._take("HAS"):
            return lambda left, right: isinstance(left, list) and _contains(left, right)
        if self._take("IN"):
            return lambda left, right: isinstance(right, list) and _contains(right, left)
        if self._take("CONTAINS"):
            return lambda left, right: isinstance(left, str) and isinstance(right, str) and right in left
        if self._take("NOT"):
            self._expect("IN")
            return lambda left, right: isinstance(right, list) and not _contains(right, left)
        raise self._unsupported()

    def _value(self) -> _Value:
        if self._take("["):
            return self._list()
        token = self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "")
        self._at += 1
        if token.kind == "string":
            return _constant(token.text[1:-1])
        if token.kind == "number":
            return _constant(float(token.text) if "." in token.text else int(token.text))
        if token.kind == "word":
            if token.text.lower() in _CONSTANTS:
                return _constant(_CONSTANTS[token.text.lower()])
            return _reference(token.text)
        self._at -= 1
        raise self._unsupported()

    def _list(self) -> _Value:
        items: list[_Value] = []
        while not self._take("]"):
            if items:
                self._expect(",")
            items.append(self._value())
        return lambda attributes: [item(attributes) for item in items]

    def _take(self, text: str) -> bool:
        here = self._at < len(self._tokens) and self._tokens[self._at]
        if here and here.text == text and here.kind in ("sign", "keyword"):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unsupported()

    def _unsupported(self) -> UnsupportedExpression:
        rest = " ".join(token.text for token in self._tokens[self._at :]) or "the end"
        return UnsupportedExpression(f"not understood: {rest!r} in expression {self._text!r}")


def _constant(value: object) -> _Value:
    return lambda _attributes: value


def _reference(path: str) -> _Value:
    keys = path.split(".")

    def look_up(attributes: Attributes) -> object:
        value: object = attributes
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    return look_up


def _ordered(ordering: _Comparison, left: object, right: object) -> bool:
    """Comparisons across types and of lists are false, but for `!=` between scalars, which is then true."""
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return False
    if not _comparable(left, right):
        return ordering is operator.ne
    if left is None or isinstance(left, bool):
        return ordering in (operator.eq, operator.ne) and ordering(left, right)
    return ordering(left, right)


def _contains(items: list[object], wanted: object) -> bool:
    return any(_comparable(item, wanted) and item == wanted for item in items)


def _comparable(left: object, right: object) -> bool:
    return _kind(left) is _kind(right)


def _kind(value: object) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)
