"""How the client reaches a cluster: what it verifies, and through which proxy, compared with kubectl.

The API of this test answers 404 to everything, which the client reads as a cluster in which nothing is. That a cluster
of a cloud lets the client in, this cannot prove.
"""

import base64
import datetime
import logging
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import BaseServer, StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
import urllib3
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components import cluster
from components.cluster import Cluster

NOTHING_THERE = Cluster({}, {}, (), nodes=(), issuers=frozenset(), snapshot_classes=frozenset(), namespace={})
ADDRESS = "127.0.0.1"


class NothingThere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(server: BaseServer) -> Iterator[None]:
    """Runs a server in a thread."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class Proxy(ThreadingTCPServer):
    """A SOCKS5 proxy, in whose network every name leads to this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((ADDRESS, 0), _ProxiedConnection)
        self.asked: list[str] = []
        """The host of every connection, as the client named it."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _ProxiedConnection(StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        _, methods = self.rfile.read(2)
        self.rfile.read(methods)
        self.wfile.write(b"\x05\x00")  # no authentication
        *_, kind = self.rfile.read(4)
        by_name = kind == 3
        host = self.rfile.read(self.rfile.read(1)[0] if by_name else 4)
        self.server.asked.append(host.decode() if by_name else socket.inet_ntoa(host))
        port = int.from_bytes(self.rfile.read(2), "big")
        with socket.create_connection((ADDRESS, port)) as there:
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            back = threading.Thread(target=_copy, args=(there, self.connection))
            back.start()
            _copy(self.connection, there)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Authority:
    """A CA without key identifiers, as EKS has."""

    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, folder: Path) -> ssl.SSLContext:
        """What a server needs to call itself `name`, signed by this CA and without key identifiers, too."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ip_address(name)) if name == ADDRESS else x509.DNSName(name)]
        )
        certificate = certify(key, name, self.key, self.name, names)
        chain = folder / f"{name}.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context


def certify(
    key: ec.EllipticCurvePrivateKey,
    name: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: str,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
        key.public_key(),
        x509.random_serial_number(),
        now - day,
        now + day,
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(issuer_key, hashes.SHA256())


def authority(name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(name, key, certify(key, name, key, name, x509.BasicConstraints(ca=True, path_length=None)))


@pytest.fixture(scope="module")
def eks() -> Authority:
    return authority("kubernetes")


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifies as strictly as Python 3.13 does by default."""
    create = urllib3.util.ssl_.create_urllib3_context

    def create_strict(*given: Any, **options: Any) -> ssl.SSLContext:  # noqa: ANN401 - those of urllib3
        context = create(*given, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(urllib3.util.ssl_, "create_urllib3_context", create_strict)
    monkeypatch.setattr(urllib3.connection, "create_urllib3_context", create_strict)


@pytest.fixture
def why(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, in which the client says why it knows nothing."""
    caplog.set_level(logging.DEBUG, cluster.__name__)
    return caplog


@contextmanager
def api(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Gives the port on which a cluster's API listens."""
    server = ThreadingHTTPServer((ADDRESS, 0), NothingThere)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with served(server):
        yield server.server_port


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def use(kubeconfig: Path, server: str, **fields: object) -> None:
    """Makes the context `arcade` of a cluster with these fields."""
    config = {
        "clusters": [{"name": "arcade", "cluster": {"server": server, **fields}}],
        "users": [{"name": "me", "user": {"token": "of-this-person"}}],
        "contexts": [{"name": "arcade", "context": {"cluster": "arcade", "user": "me"}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config))


def trust(ca: Authority) -> Mapping[str, str]:
    """The field of a kubeconfig that names the CA."""
    return {"certificate-authority-data": base64.b64encode(ca.pem).decode()}


class TestTls:
    def test_the_client_reads_a_cluster_whose_ca_has_no_key_identifiers(
        self, eks: Authority, kubeconfig: Path, tmp_path: Path
    ) -> None:
        with api(eks.issue(ADDRESS, tmp_path)) as port:
            use(kubeconfig, f"https://{ADDRESS}:{port}", **trust(eks))
            assert cluster.read("arcade", "games") == NOTHING_THERE

    def test_no_key_and_no_certificate_stays_in_a_file(
        self, eks: Authority, kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where the client never comes to its end, as when a provider's process is killed."""
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        written: list[str] = []
        make = tempfile.mkstemp

        def watched(*given: Any, **named: Any) -> tuple[int, str]:  # noqa: ANN401 - those of mkstemp
            number, name = make(*given, **named)
            written.append(name)
            return number, name

        monkeypatch.setattr(tempfile, "mkstemp", watched)
        with api(eks.issue(ADDRESS, tmp_path)) as port:
            use(kubeconfig, f"https://{ADDRESS}:{port}", **trust(eks))
            assert cluster.read("arcade", "games") == NOTHING_THERE
        assert written, "the client writes what it verifies with into files"
        assert list(temporary.iterdir()) == []

    def test_a_client_that_verifies_strictly_would_refuse_that_cluster(self, eks: Authority, tmp_path: Path) -> None:
        with api(eks.issue(ADDRESS, tmp_path)) as port:
            plain = urllib3.PoolManager(ca_cert_data=eks.pem.decode(), retries=False)
            with pytest.raises(urllib3.exceptions.SSLError, match="Missing Authority Key Identifier"):
                plain.request("GET", f"https://{ADDRESS}:{port}/")

    def test_a_server_of_another_ca_is_refused_even_if_that_ca_has_the_same_name(
        self, eks: Authority, kubeconfig: Path, tmp_path: Path, why: pytest.LogCaptureFixture
    ) -> None:
        with api(authority("kubernetes").issue(ADDRESS, tmp_path)) as port:
            use(kubeconfig, f"https://{ADDRESS}:{port}", **trust(eks))
            assert cluster.read("arcade", "games") is None
        assert "certificate verify failed" in why.text

    def test_a_server_of_no_known_ca_is_refused_if_the_kubeconfig_names_none(
        self, eks: Authority, kubeconfig: Path, tmp_path: Path, why: pytest.LogCaptureFixture
    ) -> None:
        with api(eks.issue(ADDRESS, tmp_path)) as port:
            use(kubeconfig, f"https://{ADDRESS}:{port}")
            assert cluster.read("arcade", "games") is None
        assert "certificate verify failed" in why.text

    def test_a_server_of_another_name_is_refused_unless_the_kubeconfig_has_that_name(
        self, eks: Authority, kubeconfig: Path, tmp_path: Path, why: pytest.LogCaptureFixture
    ) -> None:
        with api(eks.issue("other.example", tmp_path)) as port:
            use(kubeconfig, f"https://{ADDRESS}:{port}", **trust(eks))
            assert cluster.read("arcade", "games") is None
            assert "IP address mismatch" in why.text
            use(kubeconfig, f"https://{ADDRESS}:{port}", **trust(eks), **{"tls-server-name": "other.example"})
            assert cluster.read("arcade", "games") == NOTHING_THERE

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    def test_nothing_is_verified_if_the_kubeconfig_says_so(
        self, eks: Authority, kubeconfig: Path, tmp_path: Path
    ) -> None:
        with api(eks.issue("other.example", tmp_path)) as port:
            use(kubeconfig, f"https://{ADDRESS}:{port}", **{"insecure-skip-tls-verify": True})
            assert cluster.read("arcade", "games") == NOTHING_THERE

    def test_the_reason_of_a_refused_certificate_is_one_line_that_names_the_fault(
        self, eks: Authority, kubeconfig: Path, tmp_path: Path
    ) -> None:
        with api(authority("other").issue(ADDRESS, tmp_path)) as port:
            use(kubeconfig, f"https://{ADDRESS}:{port}", **trust(eks))
            with pytest.raises(Exception, match=r"^\(0\)") as raised:
                cluster.restore_default_marks("arcade", {})
        reason = cluster.reason(raised.value)
        assert reason.startswith("SSLError: ")
        assert "certificate verify failed" in reason
        assert "\n" not in reason


class TestProxy:
    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    def test_the_client_reaches_a_cluster_through_a_socks_proxy_that_alone_knows_its_name(
        self, eks: Authority, kubeconfig: Path, tmp_path: Path, scheme: str
    ) -> None:
        with api(eks.issue("private.invalid", tmp_path)) as port, served(proxy := Proxy()):
            url = f"{scheme}://{ADDRESS}:{proxy.port}"
            use(kubeconfig, f"https://private.invalid:{port}", **trust(eks), **{"proxy-url": url})
            assert cluster.read("arcade", "games") == NOTHING_THERE
        assert set(proxy.asked) == {"private.invalid"}

    def test_a_proxy_at_whose_address_nobody_listens_is_an_error_that_says_so(self, kubeconfig: Path) -> None:
        use(kubeconfig, "https://private.invalid", **{"proxy-url": "socks5://127.0.0.1:1"})
        with pytest.raises(cluster.NoAnswerError) as raised:
            cluster.read("arcade", "games")
        assert str(raised.value) == (
            "https://private.invalid does not answer through its proxy ([Errno 111] Connection refused)"
        )

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.DependencyWarning")
    def test_a_package_that_a_proxy_needs_and_that_is_missing_is_named_in_one_line(
        self, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "socks", None)
        monkeypatch.delitem(sys.modules, "urllib3.contrib.socks", raising=False)
        use(kubeconfig, "https://private.invalid", **{"proxy-url": "socks5://127.0.0.1:1"})
        with pytest.raises(cluster.MissingPackageError) as raised:
            cluster.read("arcade", "games")
        assert str(raised.value) == "the kubeconfig needs the Python package PySocks, which is not installed"
