"""Prints the manifests that the program declares for a stack: `python -m tools.render STACK`.

It needs no engine, no cluster and no secret: what a provider would generate is shown as `(secret)`. What a cluster adds
to them is not there, and nothing that depends on what a cluster has; `pulumi preview` shows that.
"""

import sys
from typing import Any

import pulumi
import yaml

from tools.recorder import ROOT, Recorded, Resource, SecretValue, record_program, stack_config, stacks

GOLDEN = ROOT / "tests/golden"
SECRET = "(secret)"  # noqa: S105 - what is shown in its place


def render(run: Recorded) -> str:
    """The manifests of a run as one YAML stream, the same for the same run: by kind of component, then by name."""
    return "".join(f"---\n{_document(r, run)}" for r in run.kubernetes())


def render_stack(name: str) -> str:
    """The manifests of a committed stack, on a cluster of which nothing is known."""
    return render(record_program(stack_config(name), name=name))


def _document(r: Resource, run: Recorded) -> str:
    component = next(c for c in run.components() if c.urn == r.parent)
    what = f"{component.kind} {component.name}"
    if r.kind.endswith("Patch"):
        what += ": a patch of an object that is somebody else's"
    manifest = _shown(r.inputs)
    if r.kind == "Release":
        # Helm's, by way of the provider: what becomes of it is up to the chart.
        manifest = {"apiVersion": "helm.sh/v3", "kind": "Release", **manifest}
    return f"# {what}\n" + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def _shown(value: Any, *, hidden: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """`value` with everything secret replaced; of a secret mapping the keys stay, which are no secret."""
    if isinstance(value, SecretValue):
        return _shown(value.value, hidden=True)
    if isinstance(value, dict):
        first = [key for key in ("apiVersion", "kind", "metadata") if key in value]
        return {key: _shown(value[key], hidden=hidden) for key in [*first, *sorted(value.keys() - set(first))]}
    if isinstance(value, list):
        return [_shown(item, hidden=hidden) for item in value]
    return SECRET if hidden else value


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as one, as a person would."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def write_golden() -> None:
    """Writes the manifests of every stack into tests/golden: all of them, or, where one cannot be rendered, none."""
    rendered = {GOLDEN / f"{stack}.yaml": render_stack(stack) for stack in stacks()}
    for file in set(GOLDEN.glob("*.yaml")) - rendered.keys():
        file.unlink()
    for file, text in rendered.items():
        file.write_text(text)


def main(arguments: list[str]) -> int:
    """Prints the stack that is named, or writes all of them with --golden; tells what is wrong in one line."""
    pulumi.log.error = lambda text, *_, **__: print(f"error: {text}", file=sys.stderr)
    if arguments == ["--golden"]:
        write_golden()
        return 0
    if len(arguments) != 1 or arguments[0] not in stacks():
        named = " ".join(arguments) or "none"
        print(f"error: stack is {named}: must be one of {', '.join(stacks())}", file=sys.stderr)
        return 2
    sys.stdout.write(render_stack(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
