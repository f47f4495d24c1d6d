"""The example on the node: two databases of one component in one namespace, each with users of its own."""

import json
import secrets

from tests.harness.kubectl import Kubectl
from tests.harness.program import CONFIG, CONTEXT
from tools.engine import Engine
from tools.own_stack import VOLUME_CLASS
from tools.recorder import ROOT

NAMESPACE = f"two-databases-{secrets.token_hex(4)}"


def test_two_databases_in_one_namespace_accept_only_their_own_users() -> None:
    config = {
        "context": CONTEXT,
        "namespace": NAMESPACE,
        "image": CONFIG["pacman:mongoImage"],
        "storageClass": VOLUME_CLASS,
    }
    # The copy of the example's folder has a copy of components/, and nothing else of this project.
    with Engine(ROOT / "examples/two-databases", config=config) as engine:
        assert sorted(path.name for path in engine.folder.iterdir() if not path.name.startswith(".")) == [
            "Pulumi.test.yaml",
            "Pulumi.yaml",
            "__main__.py",
            "components",
        ]
        project = engine.folder / "Pulumi.yaml"
        project.write_text(project.read_text().replace("../../.venv", ".venv"))
        engine.up().ok()
        assert engine.preview("--expect-no-changes").ok().changes.keys() == {"same"}
        outputs = engine.outputs()
        kubectl = Kubectl(CONTEXT, NAMESPACE)
        for mine, other in (("orders", "users"), ("users", "orders")):
            user = outputs[f"{mine}_uri"].partition("@")[0]
            assert greets(kubectl, mine, user)
            assert not greets(kubectl, other, user)


def greets(kubectl: Kubectl, server: str, user: str) -> bool:
    """Whether a database lets a user in; the password comes by stdin, where nobody sees it."""
    script = f"""
        try {{
            const db = new Mongo({json.dumps(user + "@127.0.0.1/shop?directConnection=true")}).getDB("shop");
            db.greetings.insertOne({{hello: "world"}});
            print("in");
        }} catch (refused) {{ print("out: " + refused.codeName); }}
    """
    shell = ["mongosh", "--quiet", "--norc", "--nodb", "--file", "/dev/stdin"]
    said = kubectl("exec", "-i", f"{server}-0", "-c", "mongo", "--", *shell, stdin=script).strip()
    assert said == "in" or said == "out: AuthenticationFailed", said
    return said == "in"
