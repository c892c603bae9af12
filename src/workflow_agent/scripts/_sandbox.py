"""The template language: a small, total part of Jinja2. Imported late, because jinja2 costs 40 ms.

What is left out and why: macros, blocks, imports and captures (text built from quoted text is quoted again or
not at all), ``{% filter %}`` and ``{% autoescape %}`` (both change quoted text afterwards), calls (only
``range``, ``secret`` and the views of mappings), ``attr`` and every filter that is not in the table below.

What is guaranteed, since a running render cannot be interrupted: at most `MAX_STEPS` loop iterations and
includes, `MAX_WORK` characters built by expressions, `MAX_OUTPUT` bytes of output. There is no recursion but
through includes, which count. So time is bounded; a render at all the limits takes some seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateNotFound, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.loaders import BaseLoader
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from workflow_agent.model.errors import NotFoundError, ParameterError, ValidationError
from workflow_agent.scripts._lookup import find_template, read_template
from workflow_agent.scripts._quoting import OptionWord, Placed, RawText
from workflow_agent.security.delivery import secret_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from jinja2 import Environment
    from jinja2.runtime import Context

__all__ = ["FILTERS", "MAX_OUTPUT", "MAX_STEPS", "MAX_WORK", "TemplateEnvironment"]

MAX_OUTPUT = 1024 * 1024
MAX_STEPS = 100_000
MAX_WORK = 16 * 1024 * 1024
_MAX_NUMBER = 2**63
_MAX_RANGE = 10_000
#: Filters that a template may use; ``raw`` and ``opt`` are ours.
FILTERS = frozenset(
    [
        "concat",
        "d",
        "default",
        "first",
        "float",
        "int",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "opt",
        "raw",
        "sort",
        "string",
        "trim",
        "unique",
        "upper",
    ]
)
_TESTS = frozenset(
    [
        "boolean",
        "defined",
        "divisibleby",
        "even",
        "false",
        "float",
        "in",
        "integer",
        "iterable",
        "mapping",
        "none",
        "number",
        "odd",
        "sequence",
        "string",
        "true",
        "undefined",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
    ]
)
_CALLABLE_VIEWS = frozenset({"items", "keys", "values"})
_STATEMENTS = (nodes.Template, nodes.Output, nodes.If, nodes.For, nodes.Assign, nodes.With, nodes.Include)
_EXPRESSIONS = (
    nodes.Add,
    nodes.And,
    nodes.Call,
    nodes.Compare,
    nodes.Concat,
    nodes.CondExpr,
    nodes.Const,
    nodes.Dict,
    nodes.Filter,
    nodes.FloorDiv,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Keyword,
    nodes.List,
    nodes.Mod,
    nodes.Mul,
    nodes.Name,
    nodes.Neg,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Pair,
    nodes.Slice,
    nodes.Sub,
    nodes.TemplateData,
    nodes.Test,
    nodes.Tuple,
)
#: Last characters of a text that make what follows the rest of a word.
_WORD_CHARACTERS = frozenset("=_./:,@+%-")


class _Loader(BaseLoader):
    def __init__(self, search: Sequence[Path], language: str, check: Callable[[str, str], None] | None) -> None:
        self._search = search
        self._language = language
        self._check = check

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        del environment
        try:
            path = find_template(template, self._search, language=self._language)
        except (NotFoundError, ValidationError) as error:
            raise TemplateNotFound(template, error.message) from error
        source = read_template(path)
        if self._check is not None:
            self._check(source, str(path))
        return source, str(path), lambda: True


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """One environment serves one render, because it counts."""

    intercepted_binops = frozenset({"+", "*", "**", "%", "//"})

    def __init__(
        self,
        *,
        search: Sequence[Path] = (),
        language: str = "sh",
        finalize: Callable[[Any], str] = str,
        check: Callable[[str, str], None] | None = None,
        secrets: Collection[str] = (),
    ) -> None:
        super().__init__(
            loader=_Loader(search, language, check),
            undefined=StrictUndefined,
            finalize=finalize,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            cache_size=8,
        )
        self._steps = 0
        self._work = 0
        self.globals.clear()
        self.globals["range"] = self._range
        self._secrets = secrets
        #: Names of the secrets whose paths a render has asked for.
        self.used_secrets: set[str] = set()
        if language == "sh":
            self.globals["secret"] = self._secret
        ours = {"raw": _raw, "opt": _option, "join": self._join, "concat": self._concat}
        self.filters = {name: ours.get(name) or self.filters[name] for name in FILTERS}
        self.filters |= {"__counted": self._counted, "__placed": _place}
        self.tests = {name: test for name, test in self.tests.items() if name in _TESTS}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all(nodes.Node):
            _check_node(node, name, filename)
        _Rewriter().visit(tree)
        return tree

    def get_template(self, *args: Any, **kwargs: Any) -> Any:
        """Load a template, which costs a step, so that templates cannot include each other without end."""
        self._step(_MAX_RANGE // 10)
        return super().get_template(*args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look an attribute up: keys of mappings first, their views, a loop's facts; nothing else."""
        if isinstance(obj, dict):
            if attribute in obj:
                return obj[attribute]
            if attribute in _CALLABLE_VIEWS:
                return getattr(obj, attribute)
            return self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) or (isinstance(obj, Undefined) and not attribute.startswith("_")):
            return super().getattr(obj, attribute)
        return self.unsafe_undefined(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Carry out an operator that could build something huge."""
        if operator == "+" and isinstance(left, str | list | tuple) and type(left) is type(right):
            self._build(len(left) + len(right))
        elif not all(isinstance(side, int | float) and abs(side) < _MAX_NUMBER for side in (left, right)):
            raise SecurityError(f"`{operator}` works on numbers (and `+` on two texts or two lists) only")
        return super().call_binop(context, operator, left, right)

    def _range(self, *args: int) -> range:
        numbers = range(*args)
        if len(numbers) > _MAX_RANGE:
            raise SecurityError(f"a range is longer than {_MAX_RANGE}")
        return numbers

    def _secret(self, name: str) -> str:
        if name not in self._secrets:
            raise ParameterError(f"there is no secret `{name[:60]}`, or it was not given")
        self.used_secrets.add(name)
        return secret_path(name)

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._step(1)
            yield item

    def _join(self, items: Iterable[Any], separator: str = "") -> str:
        texts = [_text(item) for item in items]
        self._build(sum(map(len, texts)) + len(texts) * len(separator))
        return separator.join(texts)

    def _concat(self, items: Iterable[Any]) -> str:
        return self._join(items)

    def _step(self, cost: int) -> None:
        self._steps += cost
        if self._steps > MAX_STEPS:
            raise SecurityError("the template loops too often")

    def _build(self, size: int) -> None:
        self._work += size
        if self._work > MAX_WORK:
            raise SecurityError("the template builds too much text")


class _Rewriter(NodeTransformer):
    """Count loops, cap ``~``, and tell each interpolation where it stands."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - jinja2's naming
        self.generic_visit(node)
        items = nodes.List(node.nodes, lineno=node.lineno)
        return _filter(items, "concat", [])

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja2's naming
        self.generic_visit(node)
        node.iter = _filter(node.iter, "__counted", [])
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802 - jinja2's naming
        self.generic_visit(node)
        parts = node.nodes
        node.nodes = [
            part if isinstance(part, nodes.TemplateData) else _placed(parts, index) for index, part in enumerate(parts)
        ]
        return node


def _placed(parts: list[nodes.Expr], index: int) -> nodes.Expr:
    before = parts[index - 1] if index else None
    after = parts[index + 1] if index + 1 < len(parts) else None
    last = before.data[-1:] if isinstance(before, nodes.TemplateData) else ""
    first = after.data[:1] if isinstance(after, nodes.TemplateData) else ""
    inside = last.isalnum() or last in _WORD_CHARACTERS
    starts = not (last and inside)
    alone = last.isspace() and (first.isspace() or first == ";")
    return _filter(parts[index], "__placed", [nodes.Const(starts), nodes.Const(alone)])


def _filter(node: nodes.Node, name: str, args: list[nodes.Expr]) -> nodes.Filter:
    return nodes.Filter(node, name, args, [], None, None, lineno=node.lineno)


def _check_node(node: nodes.Node, name: str | None, filename: str | None) -> None:
    complaint = _complaint(node)
    if complaint:
        raise TemplateSyntaxError(complaint, node.lineno, name, filename)


def _complaint(node: nodes.Node) -> str | None:
    complaint = None
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        complaint = f"there is no filter `{node.name}` here"
    elif isinstance(node, nodes.Test) and node.name not in _TESTS:
        complaint = f"there is no test `{node.name}` here"
    elif isinstance(node, nodes.For) and node.recursive:
        complaint = "recursive loops are not allowed"
    elif isinstance(node, nodes.Include) and not _is_constant_name(node.template):
        complaint = "`include` needs a template name in quotes"
    elif isinstance(node, nodes.Call) and not _is_allowed_call(node):
        complaint = "only `range(…)`, `secret('…')` and `.items()`, `.keys()`, `.values()` of a mapping can be called"
    elif not isinstance(node, (*_STATEMENTS, *_EXPRESSIONS)):
        complaint = f"`{type(node).__name__.lower()}` is not part of the template language here"
    return complaint


def _is_constant_name(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and isinstance(node.value, str)


def _is_allowed_call(node: nodes.Call) -> bool:
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        return False
    target = node.node
    if isinstance(target, nodes.Name):
        return target.name == "range" or (target.name == "secret" and _is_one_name(node.args))
    return isinstance(target, nodes.Getattr) and target.attr in _CALLABLE_VIEWS and not node.args


def _is_one_name(arguments: list[nodes.Expr]) -> bool:
    return len(arguments) == 1 and _is_constant_name(arguments[0])


def _raw(value: Any) -> RawText:
    return RawText(_text(value))


def _option(value: Any, *allowed: str) -> OptionWord:
    text = _text(value)
    if text not in allowed:
        raise ParameterError("a value is not one of the options that the template lists")
    return OptionWord(text)


def _place(value: Any, starts_word: bool, ends_word: bool) -> Placed:
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, Undefined):
            str(item)  # raises, with the name of what is missing
    return Placed(value, starts_word, ends_word)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str.__str__(value) if isinstance(value, str) else repr(value)
    if isinstance(value, Undefined):
        str(value)  # raises, with the name of what is missing
    raise ParameterError(f"a value of type {type(value).__name__} cannot be part of a text")
