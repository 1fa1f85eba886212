"""The front end's shapes (labextension/src/api/types.ts) as JSON schemas: as much of TypeScript as that file uses."""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]

_TOKEN = re.compile(
    r"""\s+|//[^\n]*|(?P<comment>/\*.*?\*/)|(?P<word>[A-Za-z_]\w*)|(?P<text>'[^']*')|(?P<mark>[{}\[\]<>()|&;:,=?.])""",
    re.DOTALL,
)
_PLAIN: dict[str, Schema] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "null": {"type": "null"},
    "unknown": {},
}


def schemas(source: str) -> dict[str, Schema]:
    """A schema for each ``export interface`` and ``export type``, by its name without the leading I."""
    return _Reader(source).all()


def schema(source: str) -> Schema:
    """The schema of one type."""
    return _Reader(source).one()


def name_of(word: str) -> str:
    """``IRunTable`` → ``RunTable``."""
    return word[1:] if re.match(r"I[A-Z]", word) else word


class _Reader:
    def __init__(self, source: str) -> None:
        found = [m for m in _TOKEN.finditer(source) if m.lastgroup]
        assert "".join(m.group() for m in _TOKEN.finditer(source)) == source, "something here is not understood"
        self._words = [m.group() for m in found if m.lastgroup != "comment"]
        self._said = _comments([(m.lastgroup == "comment", m.group()) for m in found])
        self._at = 0
        self._done: dict[str, Schema] = {}

    def all(self) -> dict[str, Schema]:
        while self._at < len(self._words):
            said = self._said.get(self._at)
            self._take("export")
            if self._take() == "interface":
                name = name_of(self._take())
                base = name_of(self._take()) if self._maybe("extends") else None
                made = self._object()
                self._done[name] = {"allOf": [{"$ref": _ref(base)}, made]} if base else made
            else:
                name = name_of(self._take())
                self._take("=")
                self._done[name] = self._type()
                self._take(";")
            self._done[name] = _described(self._done[name], said)
        return self._done

    def one(self) -> Schema:
        """The source is nothing but a type."""
        return self._type()

    def _object(self) -> Schema:
        properties: dict[str, Schema] = {}
        required = []
        self._take("{")
        while not self._maybe("}"):
            said = self._said.get(self._at)
            self._maybe("readonly")
            name = self._take()
            optional = self._maybe("?")
            self._take(":")
            properties[name] = _described(self._type(), said)
            if not optional:
                required.append(name)
            if not self._maybe(";"):
                self._take("}")
                break
        return {"type": "object", "required": required, "properties": properties}

    def _type(self) -> Schema:
        self._maybe("|")
        kinds = [self._both()]
        while self._maybe("|"):
            kinds.append(self._both())
        return _union(kinds)

    def _both(self) -> Schema:
        """``A & B``."""
        parts = [self._one()]
        while self._maybe("&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else {"allOf": parts}

    def _one(self) -> Schema:
        self._maybe("readonly")
        made = self._base()
        while self._maybe("["):
            if self._maybe("]"):
                made = {"type": "array", "items": made}
            else:
                made = self._part(made, self._take().strip("'"))
                self._take("]")
        return made

    def _base(self) -> Schema:
        word = self._words[self._at]
        if word == "{":
            return self._object()
        if word == "[":
            return self._tuple()
        self._take()
        if word == "(":
            inner = self._type()
            self._take(")")
            return inner
        if word.startswith("'"):
            return {"enum": [word.strip("'")]}
        if word in _PLAIN:
            return dict(_PLAIN[word])
        if word in {"Readonly", "Record"}:
            return self._generic(word)
        return {"$ref": _ref(name_of(word))}

    def _generic(self, word: str) -> Schema:
        self._take("<")
        if word == "Record":
            self._take("string")
            self._take(",")
            inner = {"type": "object", "additionalProperties": self._type()}
        else:
            inner = self._type()
        self._take(">")
        return inner

    def _tuple(self) -> Schema:
        self._take("[")
        items = []
        while not self._maybe("]"):
            if self._words[self._at + 1] == ":":
                self._at += 2
            items.append(self._type())
            self._maybe(",")
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}

    def _part(self, of: Schema, name: str) -> Schema:
        whole = self._done[of["$ref"].rsplit("/", 1)[1]]
        return whole["properties"][name]

    def _take(self, wanted: str | None = None) -> str:
        word = self._words[self._at]
        assert wanted in (None, word), (
            f"{wanted!r} was expected, {word!r} found: {self._words[self._at - 8 : self._at + 3]}"
        )
        self._at += 1
        return word

    def _maybe(self, word: str) -> bool:
        here = self._at < len(self._words) and self._words[self._at] == word
        self._at += here
        return here


def _comments(words: list[tuple[bool, str]]) -> dict[int, str]:
    """What a comment says, by the number of the word that follows it."""
    found, number = {}, 0
    for is_comment, word in words:
        if is_comment:
            lines = word.removeprefix("/**").removesuffix("*/").splitlines()
            found[number] = " ".join(line.strip().removeprefix("*").strip() for line in lines).strip()
        else:
            number += 1
    return found


def _described(schema: Schema, said: str | None) -> Schema:
    if not said:
        return schema
    return ({"allOf": [schema]} if "$ref" in schema else schema) | {"description": said}


def _ref(name: str | None) -> str:
    return f"#/components/schemas/{name}"


def _union(kinds: list[Schema]) -> Schema:
    """``A | B``: literals become one enumeration, null joins the type that it is an alternative to."""
    if len(kinds) == 1:
        return kinds[0]
    null = {"type": "null"}
    others = [kind for kind in kinds if kind != null]
    literals = [kind["enum"][0] for kind in others if set(kind) == {"enum"}]
    rest = [kind for kind in others if set(kind) != {"enum"}]
    made = rest + ([{"enum": literals}] if literals else [])
    if null not in kinds:
        return made[0] if len(made) == 1 else {"anyOf": made}
    (one, *more) = made
    if not more and "type" in one:
        return one | {"type": [one["type"], "null"]}
    return {"anyOf": [*made, null]}
