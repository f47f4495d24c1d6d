"""Evaluates the expressions of a workflow, as far as ours use them.

GitHub's rules: `&&` and `||` give back one of their operands; "", 0, false and null are false; text is compared without
regard to case; a property that does not exist is null.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|[!(),]|[\w.-]+)")
_LITERALS = {"true": True, "false": False, "null": None}


def evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """The value of an expression, which may stand in `${{ }}`.

    Args:
        contexts: The values of `github`, `vars` and so on, nested. The key `cancelled` is what `cancelled()` says.
    """
    return _Parser(expression.strip().removeprefix("${{").removesuffix("}}"), contexts).parse()


def render(value: Any, contexts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any YAML
    """A value of a workflow with all its expressions evaluated; a text that is one expression keeps its type."""
    if isinstance(value, Mapping):
        return {key: render(each, contexts) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\s*\$\{\{((?!\}\}).)*\}\}\s*", value, flags=re.DOTALL):
        return evaluate(value, contexts)
    return re.sub(r"\$\{\{.*?\}\}", lambda found: str(evaluate(found[0], contexts) or ""), value, flags=re.DOTALL)


class _Parser:
    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self._tokens: list[str] = []
        self._contexts = contexts
        text = text.strip()
        while text:
            token = _TOKEN.match(text)
            assert token, f"an operator that is not known here: {text}"
            self._tokens.append(token[1])
            text = text[token.end() :].strip()

    def parse(self) -> Any:  # noqa: ANN401
        value = self._or()
        assert not self._tokens, self._tokens
        return value

    def _or(self) -> Any:  # noqa: ANN401
        value = self._and()
        while self._take("||"):
            other = self._and()
            value = value or other
        return value

    def _and(self) -> Any:  # noqa: ANN401
        value = self._comparison()
        while self._take("&&"):
            other = self._comparison()
            value = value and other
        return value

    def _comparison(self) -> Any:  # noqa: ANN401
        value = self._single()
        for sign in ("==", "!="):
            if self._take(sign):
                one, other = (each.lower() if isinstance(each, str) else each for each in (value, self._single()))
                return (one == other) == (sign == "==")
        return value

    def _single(self) -> Any:  # noqa: ANN401
        if self._take("!"):
            return not self._single()
        if self._take("("):
            value = self._or()
            assert self._take(")")
            return value
        token = self._tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self._take("("):
            return self._call(token)
        return _LITERALS[token] if token in _LITERALS else self._get(token)

    def _call(self, function: str) -> Any:  # noqa: ANN401
        if function == "fromJSON":
            argument = self._or()
            assert self._take(")")
            return json.loads(argument)
        assert self._take(")")
        return {"always": True, "cancelled": self._get("cancelled")}[function]

    def _get(self, path: str) -> Any:  # noqa: ANN401
        value: Any = self._contexts
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def _take(self, token: str) -> bool:
        if self._tokens[:1] == [token]:
            self._tokens.pop(0)
            return True
        return False
