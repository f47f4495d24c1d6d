"""HTTPS through the Ingress with a certificate of the person's own, and the limits of what the Ingress takes.

The sandbox's controller reads the annotations of ingress-nginx. That F5's controller reads its own, and that
cert-manager brings a certificate, this cannot prove: neither can be had here.
"""

import http.client
import json
import socket
import ssl

import pytest
import trustme

from tests.harness.kubectl import apply_certificate
from tests.harness.program import NODE, Program
from tests.harness.waiting import eventually
from tools.previews import cluster_for_every_stack


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Somebody who makes certificates."""
    return trustme.CA()


@pytest.fixture
def secured(program: Program, authority: trustme.CA) -> Program:
    """The stack with a certificate for its host, as README has it: the Secret by kubectl, its name in the config."""
    issued = authority.issue_cert(program.host)
    apply_certificate(program.kubectl, "pacman-cert", issued)
    program.use(ingressTlsSecret="pacman-cert")
    program.up().ok()
    return program


class _Pinned(http.client.HTTPSConnection):
    """Asks for a name at the node's address, as `curl --connect-to` does."""

    def connect(self) -> None:
        plain = socket.create_connection((NODE, 443), timeout=10)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


def ask(program: Program, authority: trustme.CA, path: str = "/") -> http.client.HTTPResponse:
    """The answer over HTTPS to somebody who trusts that authority and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    connection = _Pinned(program.host, context=context)
    connection.request("GET", path)
    return connection.getresponse()


def served(program: Program, authority: trustme.CA) -> bool:
    """Whether that certificate is shown; another one, and none, is not an answer yet."""
    try:
        return ask(program, authority).status == 200
    except OSError:
        return False


def test_the_page_comes_over_https_and_browsers_are_told_to_stay_there(secured: Program, authority: trustme.CA) -> None:
    eventually("the certificate is served", lambda: served(secured, authority))
    answer = ask(secured, authority)
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert b"Pac" in answer.read()
    assert secured.outputs()["url"] == f"https://{secured.host}/"
    listed = ask(secured, authority, "/highscores/list")
    assert isinstance(json.loads(listed.read()), list)


def test_plain_http_redirects_to_https_with_path_and_query(secured: Program, authority: trustme.CA) -> None:
    eventually("the certificate is served", lambda: served(secured, authority))
    connection = http.client.HTTPConnection(NODE, timeout=10)
    connection.request("GET", "/highscores/list?x=1", headers={"Host": secured.host})
    answer = connection.getresponse()
    assert answer.status == 308
    assert answer.headers["Location"] == f"https://{secured.host}/highscores/list?x=1"
    assert "Strict-Transport-Security" not in answer.headers


def test_removing_the_certificate_key_leads_back_to_plain_http(secured: Program) -> None:
    secured.use()
    assert secured.up().ok().changes["update"] == 1
    eventually("the page comes over HTTP", lambda: secured.game.request("GET", "/")[0] == 200)
    assert secured.outputs()["url"] == f"http://{secured.host}/"


def test_a_body_that_no_game_sends_is_refused(program: Program) -> None:
    program.use()
    program.up().ok()
    status, _ = program.game.request("POST", "/highscores", {"name": "x" * 20_000})
    assert status == 413
    assert program.game.save("small", 1)


@pytest.mark.alone  # it makes kinds and classes for the whole cluster, as test_stacks.py does
def test_rules_that_cert_manager_wrote_to_are_no_conflict(program: Program) -> None:
    """Its answer to a challenge is one more path in the rules, which are then its own: they are one field."""
    with cluster_for_every_stack():
        program.use(ingressTlsIssuer="letsencrypt")
        program.up().ok()
        live = program.kubectl.live("ingress", "pacman")
        assert live["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
        live["spec"]["rules"][0]["http"]["paths"].insert(
            0, live["spec"]["rules"][0]["http"]["paths"][0] | {"path": "/.well-known/acme-challenge/x"}
        )
        program.kubectl("replace", "--field-manager=cert-manager", "--filename", "-", stdin=json.dumps(live))
        other = f"other-{program.host}"
        program.use(ingressTlsIssuer="letsencrypt", ingressHost=other)
        program.up().ok()
        (rule,) = program.kubectl.live("ingress", "pacman")["spec"]["rules"]
        assert rule["host"] == other
        program.use()
        program.up().ok()
