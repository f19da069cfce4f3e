"""TaskRouter's expression language, for task queues, workflow filters and targets, `skip_if` and list filters.

    key == "text"   key != 3   a.b >= 3   levels[0] < -1   key CONTAINS "x"        compare scalars
    list HAS "x"    list >- "x"    key IN ["x", "y"]    key <- ["x"]    key NOT IN [...]    search lists
    joined by AND and OR, with parentheses; AND binds more tightly. `1==1` matches everything.

Either side may be a literal or a reference; an unknown reference is null. Comparing a scalar with a list is false,
searching a value that is not a list is false, and values of different types are never equal. Malformed text is refused
with the position, never silently true or false.
Source: https://www.twilio.com/docs/taskrouter/expression-syntax. It does not document the precedence of AND and OR;
`ParsedExpression.assumes_precedence` is set where that matters.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Scope = Mapping[str, object]
_Predicate = Callable[[Scope], bool]
_Value = Callable[[Scope], object]
_Comparison = Callable[[Any, Any], bool]

MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"[^"]*"|'[^']*')
      | (?P<number>-?[0-9]{1,300}(?:\.[0-9]{1,300})?(?![0-9]))
      | (?P<word>[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[[0-9]{1,9}\])*)
      | (?P<sign>==|!\s*=|>=|<=|>-|<-|=|>|<|[()\[\],])
    )""",
    re.VERBOSE,
)
_STEP = re.compile(r"[\w$]+")
_CONSTANTS = {"true": True, "false": False, "null": None}
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


class MalformedExpression(ValueError):
    """The text is not an expression; the message names the position."""


@dataclass(frozen=True, eq=False)
class ParsedExpression:
    """An expression; call it with a scope to evaluate it.

    roots: the first names of all its references, so that a caller can leave out the rest of the scope.
    assumes_precedence: it mixes AND and OR without parentheses, whose precedence Twilio does not document.
    """

    text: str
    roots: frozenset[str]
    assumes_precedence: bool
    _predicate: _Predicate

    def __call__(self, scope: Scope) -> bool:
        return self._predicate(scope)


@lru_cache(maxsize=4096)
def parse(text: str) -> ParsedExpression:
    """Return the expression; empty text matches nothing. Raises MalformedExpression."""
    if not text.strip():
        return ParsedExpression(text, frozenset(), assumes_precedence=False, _predicate=lambda _scope: False)
    parser = _Parser(_tokens(text), text)
    predicate = parser.disjunction()
    parser.expect_end()
    return ParsedExpression(text, frozenset(parser.roots), parser.assumes_precedence, predicate)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None or match.lastgroup is None:
            raise MalformedExpression(f"cannot parse {stripped[at:]!r} in expression {text!r}")
        kind, word = match.lastgroup, match[match.lastgroup]
        if kind == "sign":
            word = "".join(word.split())  # Twilio's own checker takes `! =`
        at = match.end()
        if kind == "word" and (keyword := word.partition("[")[0].upper()) in _KEYWORDS:
            at -= len(word) - len(keyword)  # `IN[1]` is IN and a list, not an element of a list named IN
            kind, word = "keyword", keyword
        tokens.append(_Token(kind, word))
    return tokens


class _Parser:
    """Recursive descent over the tokens: disjunction, conjunction, comparison, value."""

    def __init__(self, tokens: list[_Token], text: str) -> None:
        self.roots: set[str] = set()
        self.assumes_precedence = False
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._text = text

    def disjunction(self) -> _Predicate:
        parts = [self._conjunction()]
        while self._take("OR"):
            parts.append(self._conjunction())
        if len(parts) > 1 and any(several for _, several in parts):
            self.assumes_precedence = True
        predicates = [part for part, _ in parts]
        return predicates[0] if len(predicates) == 1 else lambda scope: any(part(scope) for part in predicates)

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise self._malformed()

    def _conjunction(self) -> tuple[_Predicate, bool]:
        """Return the predicate, and whether it has several operands."""
        parts = [self._comparison()]
        while self._take("AND"):
            parts.append(self._comparison())
        if len(parts) == 1:
            return parts[0], False
        return lambda scope: all(part(scope) for part in parts), True

    def _comparison(self) -> _Predicate:
        if self._take("("):
            self._enter_nesting()
            inner = self.disjunction()
            self._expect(")")
            self._depth -= 1
            return inner
        left = self._value()
        compare = self._operator()
        right = self._value()
        return lambda scope: compare(left(scope), right(scope))

    def _operator(self) -> _Comparison:
        for sign, ordering in _ORDERINGS.items():
            if self._take(sign):
                return lambda left, right: _ordered(ordering, left, right)
        if self._take("HAS") or self._take(">-"):
            return lambda left, right: isinstance(left, list) and _contains(left, right)
        if self._take("IN") or self._take("<-"):
            return lambda left, right: isinstance(right, list) and _contains(right, left)
        if self._take("CONTAINS"):
            return lambda left, right: isinstance(left, str) and isinstance(right, str) and right in left
        if self._take("NOT"):
            self._expect("IN")
            return lambda left, right: isinstance(right, list) and not _contains(right, left)
        raise self._malformed()

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
            path = tuple(_STEP.findall(token.text))
            self.roots.add(path[0])
            return lambda scope: look_up(scope, path)
        self._at -= 1
        raise self._malformed()

    def _list(self) -> _Value:
        self._enter_nesting()
        items: list[_Value] = []
        while not self._take("]"):
            if items:
                self._expect(",")
            items.append(self._value())
        self._depth -= 1
        return lambda scope: [item(scope) for item in items]

    def _enter_nesting(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise MalformedExpression(f"nested more than {MAX_DEPTH} deep: expression {self._text[:50]!r}...")

    def _take(self, text: str) -> bool:
        token = self._at < len(self._tokens) and self._tokens[self._at]
        if token and token.text == text and token.kind in ("sign", "keyword"):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._malformed()

    def _malformed(self) -> MalformedExpression:
        rest = " ".join(token.text for token in self._tokens[self._at :]) or "the end"
        return MalformedExpression(f"cannot parse {rest!r} in expression {self._text!r}")


def look_up(scope: Scope, path: tuple[str, ...]) -> object:
    """Return the value of a reference, None if there is none. Digits are a list's index."""
    value: object = scope
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _constant(value: object) -> _Value:
    return lambda _scope: value


def _ordered(ordering: _Comparison, left: object, right: object) -> bool:
    """Compare; across types and for lists the result is false, but `!=` between scalars of two types is true."""
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return False
    if not _comparable(left, right):
        return ordering is operator.ne
    if left is None or isinstance(left, bool):
        return ordering in (operator.eq, operator.ne) and ordering(left, right)
    return ordering(left, right)


def _contains(items: list[object], value_sought: object) -> bool:
    return any(_comparable(item, value_sought) and item == value_sought for item in items)


def _comparable(left: object, right: object) -> bool:
    return _kind(left) is _kind(right)


def _kind(value: object) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)
