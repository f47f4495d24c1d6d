"""What NginxIngress declares, and what it makes of the address that a controller publishes.

Mocks show the rule and the words for a given status. That a controller serves the rule and publishes a status at all,
and that the commands of the hint work as written, they cannot prove.
"""

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components import cluster
from components.nginx_ingress import NginxIngress, NginxIngressArgs, access_hint, page_url
from tools.recorder import Recorded, record, record_program, stack_config


def declare(
    host: str = "",
    secret: str = "",
    issuer: str = "",
    *,
    rate: int = 500,
    address: tuple[str, str] = ("192.168.49.2", ""),
    read: Callable[..., tuple[str, str]] | None = None,
) -> Recorded:
    args = NginxIngressArgs(
        namespace="arcade",
        service="pacman",
        service_port=80,
        ingress_class="nginx-public",
        host=host,
        tls_secret=secret,
        tls_issuer=issuer,
        context="mk",
        rate_limit=rate,
    )
    return record(lambda: NginxIngress("pacman", args), address=address if read is None else read)


class TestRule:
    def test_the_ingress_serves_the_paths_that_a_player_needs_and_no_others(self) -> None:
        (rule,) = declare().one("Ingress").manifest["spec"]["rules"]
        backend = {"service": {"name": "pacman", "port": {"number": 80}}}
        assert all(each["backend"] == backend for each in rule["http"]["paths"])
        paths = {each["path"]: each["pathType"] for each in rule["http"]["paths"]}

        def served(path: str) -> bool:
            prefixes = [each for each, kind in paths.items() if kind == "Prefix"]
            return paths.get(path) == "Exact" or any(path == each or path.startswith(f"{each}/") for each in prefixes)

        for path in ("/", "/config", "/highscores", "/highscores/list", "/user/id", "/location/metadata", "/js/a.js"):
            assert served(path), path
        for path in ("/metrics", "/internal/score/write", "/demo/status", "/readyz", "/readyz/details", "/version"):
            assert not served(path), path
        assert not served("/config/schema")

    def test_it_names_its_class_as_a_field_and_not_as_the_old_annotation(self) -> None:
        manifest = declare().one("Ingress").manifest
        assert manifest["spec"]["ingressClassName"] == "nginx-public"
        assert "kubernetes.io/ingress.class" not in manifest["metadata"]["annotations"]

    def test_without_a_host_it_answers_to_every_name_and_the_bare_address(self) -> None:
        assert "host" not in declare().one("Ingress").manifest["spec"]["rules"][0]

    def test_an_ingress_with_a_host_answers_to_that_name(self) -> None:
        assert declare("pacman.example").one("Ingress").manifest["spec"]["rules"][0]["host"] == "pacman.example"

    def test_both_families_of_controllers_get_the_same_limits(self) -> None:
        annotations = declare(rate=70).one("Ingress").manifest["metadata"]["annotations"]
        body = annotations["nginx.ingress.kubernetes.io/proxy-body-size"]
        assert body == annotations["nginx.org/client-max-body-size"]
        assert annotations["nginx.ingress.kubernetes.io/limit-rps"] == "70"
        assert annotations["nginx.org/limit-req-rate"] == "70r/s"

    def test_a_class_of_thirty_behind_one_address_can_open_the_page_at_once(self) -> None:
        annotations = declare().one("Ingress").manifest["metadata"]["annotations"]
        burst = int(annotations["nginx.ingress.kubernetes.io/limit-burst-multiplier"])
        assert burst * int(annotations["nginx.ingress.kubernetes.io/limit-rps"]) > 30 * 35
        assert int(annotations["nginx.org/limit-req-burst"]) > 30 * 35

    def test_a_rate_of_0_is_no_limit(self) -> None:
        annotations = declare(rate=0).one("Ingress").manifest["metadata"]["annotations"]
        assert not [key for key in annotations if "limit-r" in key]


class TestTls:
    def test_an_ingress_without_a_secret_has_no_tls(self) -> None:
        manifest = declare("pacman.example").one("Ingress").manifest
        assert "tls" not in manifest["spec"]
        assert not any("ssl" in key or "hsts" in key for key in manifest["metadata"]["annotations"])

    def test_the_certificate_is_for_the_host(self) -> None:
        run = declare("pacman.example", secret="cert")  # noqa: S106 - its name
        assert run.one("Ingress").manifest["spec"]["tls"] == [{"hosts": ["pacman.example"], "secretName": "cert"}]
        assert run.one("NginxIngress").outputs["url"] == "https://pacman.example/"

    def test_http_leads_to_https_and_browsers_remember_it_for_a_year(self) -> None:
        annotations = declare("pacman.example", secret="cert").one("Ingress").manifest["metadata"]["annotations"]  # noqa: S106
        assert annotations["nginx.ingress.kubernetes.io/ssl-redirect"] == "true"
        assert annotations["nginx.org/ssl-redirect"] == "true"
        assert annotations["nginx.org/hsts"] == "true"
        assert annotations["nginx.org/hsts-max-age"] == str(365 * 24 * 3600)
        assert not any(key.startswith(("cert-manager.io", "acme.")) for key in annotations)

    def test_an_issuer_is_asked_for_the_certificate_and_its_challenge_uses_this_ingress(self) -> None:
        run = declare("pacman.example", secret="cert", issuer="letsencrypt")  # noqa: S106
        annotations = run.one("Ingress").manifest["metadata"]["annotations"]
        assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt"
        assert annotations["acme.cert-manager.io/http01-edit-in-place"] == "true"
        assert annotations["pulumi.com/patchForce"] == "true", "or the next change of the host is a conflict"

    def test_an_issuer_may_reach_the_pod_that_answers_its_challenge(self) -> None:
        run = declare("pacman.example", secret="cert", issuer="letsencrypt")  # noqa: S106
        spec = run.one("NetworkPolicy").manifest["spec"]
        assert spec["podSelector"]["matchLabels"] == {"acme.cert-manager.io/http01-solver": "true"}
        assert spec["ingress"] == [{"ports": [{"port": 8089, "protocol": "TCP"}]}]
        assert declare("pacman.example", secret="cert").of("NetworkPolicy") == []  # noqa: S106

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({"secret": "cert"}, "pacman: tls_secret is cert: needs host, a certificate is for a name"),
            ({"host": "pacman.example", "issuer": "own"}, "pacman: tls_issuer is own: needs tls_secret"),
        ],
    )
    def test_a_certificate_without_a_host_and_an_issuer_without_a_secret_are_refused(
        self, given: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(ValueError, match=reason):
            declare(**given)


class TestOutputs:
    @pytest.mark.parametrize(
        ("host", "ip", "hostname", "url"),
        [
            ("", "192.168.49.2", "", "http://192.168.49.2/"),
            ("", "", "lb.example", "http://lb.example/"),
            ("", "fd00::1", "", "http://[fd00::1]/"),
            ("pacman.example", "10.0.0.1", "", "http://pacman.example/"),
            ("pacman.example", "", "", ""),
            ("", "", "", ""),
        ],
    )
    def test_the_url_has_the_host_or_else_the_address_that_was_published(
        self, host: str, ip: str, hostname: str, url: str
    ) -> None:
        outputs = declare(host, address=(ip, hostname)).one("NginxIngress").outputs
        assert outputs == {"ip": ip, "hostname": hostname, "url": url}

    def test_the_provider_does_not_wait_ten_minutes_for_an_address(self) -> None:
        assert declare().one("Ingress").manifest["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"

    def test_an_ingress_without_an_address_is_a_warning_with_the_command_that_shows_why(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        warned: list[str] = []
        monkeypatch.setattr(pulumi.log, "warn", warned.append)
        assert declare(address=("", "")).one("NginxIngress").outputs["url"] == ""
        (text,) = warned
        assert text.startswith("the Ingress pacman has no address after 90 s: does a controller serve its class?")
        assert "`kubectl --context mk -n arcade describe ingress pacman`" in text

    @pytest.mark.parametrize(
        ("status", "reason", "hint"),
        [
            (403, "GET ingresses: 403 Forbidden", ""),
            (
                404,
                'ingresses.networking.k8s.io "pacman" not found',
                ". The stack has it: `pulumi up --refresh` creates again what somebody has deleted",
            ),
        ],
    )
    def test_an_address_that_cannot_be_read_is_a_warning_since_the_game_runs(
        self, monkeypatch: pytest.MonkeyPatch, status: int, reason: str, hint: str
    ) -> None:
        warned: list[str] = []

        def refuse(*_: object) -> tuple[str, str]:
            raise cluster.RefusedError(status, reason)

        monkeypatch.setattr(pulumi.log, "warn", warned.append)
        assert declare(read=refuse).one("NginxIngress").outputs["url"] == ""
        assert warned == [f"cannot read the address of the Ingress pacman: {reason}{hint}"]


class TestPageUrl:
    @pytest.mark.parametrize(
        ("host", "ip", "hostname", "url"),
        [
            ("", "", "", ""),
            ("pacman.example", "", "", ""),
            ("pacman.example", "fd00::1", "lb.example", "http://pacman.example/"),
            ("", "10.0.0.1", "", "http://10.0.0.1/"),
            ("", "fd00::1", "", "http://[fd00::1]/"),
            ("", "10.0.0.1", "lb.example", "http://lb.example/"),
            ("", "fd00::1", "lb.example", "http://lb.example/"),
        ],
    )
    def test_prefers_the_name_over_the_address(self, host: str, ip: str, hostname: str, url: str) -> None:
        assert page_url(host, ip, hostname) == url


FORWARD = "kubectl --context mk -n arcade port-forward service/pacman 9090:80  and open http://127.0.0.1:9090/"


def hint(*, host: str = "", ip: str = "", hostname: str = "", tls: bool = False, local: bool = False) -> str:
    return access_hint(
        context="mk",
        namespace="arcade",
        service="pacman",
        host=host,
        ip=ip,
        hostname=hostname,
        tls=tls,
        node_address_is_local=local,
    )


class TestAccessHint:
    def test_without_an_address_it_says_how_to_look_again_and_what_works_until_then(self) -> None:
        told = hint(local=True)
        assert told.startswith("The Ingress has no address yet.")
        assert "`pulumi up --refresh`" in told
        assert "kubectl --context mk -n arcade get ingress" in told
        assert told.endswith(f"Until then: {FORWARD}")

    def test_an_address_of_a_cloud_is_just_opened(self) -> None:
        assert hint(ip="203.0.113.7") == "Open http://203.0.113.7/"
        assert hint(hostname="lb.example") == "Open http://lb.example/"
        assert hint(ip="fd00::1") == "Open http://[fd00::1]/"

    def test_a_host_must_lead_to_the_address(self) -> None:
        assert hint(host="pacman.example", ip="203.0.113.7") == (
            "Open http://pacman.example/\n"
            "pacman.example must lead to 203.0.113.7: in DNS, by a record of type A, or for a look:"
            " curl -H 'Host: pacman.example' http://203.0.113.7/"
        )
        told = hint(host="pacman.example", ip="fd00::1")
        assert "by a record of type AAAA" in told
        assert "curl -H 'Host: pacman.example' http://[fd00::1]/" in told
        told = hint(host="pacman.example", hostname="lb.example")
        assert "pacman.example must lead to lb.example: in DNS, by a record of type CNAME" in told

    def test_with_a_certificate_the_name_has_to_be_asked_for(self) -> None:
        told = hint(host="pacman.example", ip="203.0.113.7", tls=True)
        assert told.startswith("Open https://pacman.example/\n")
        assert told.endswith("curl --connect-to pacman.example:443:203.0.113.7:443 https://pacman.example/")
        told = hint(host="pacman.example", ip="192.168.49.2", tls=True, local=True)
        assert "open https://pacman.example/ with `127.0.0.1 pacman.example` in your hosts file" in told

    def test_a_node_on_the_own_machine_may_be_out_of_reach_and_there_are_two_ways_then(self) -> None:
        told = hint(ip="192.168.49.2", local=True).split("\n")
        assert told[0] == "Open http://192.168.49.2/"
        assert "WSL2" in told[1]
        assert told[1].endswith("minikube tunnel -p mk  and open http://127.0.0.1/")
        assert told[2] == f"or: {FORWARD}"

    def test_with_a_host_the_tunnel_needs_a_line_in_the_hosts_file(self) -> None:
        told = hint(host="pacman.example", ip="192.168.49.2", local=True)
        assert "open http://pacman.example/ with `127.0.0.1 pacman.example` in your hosts file" in told


def test_the_stack_gives_out_the_hint_for_itself() -> None:
    exports = record_program(stack_config("dev") | {"pacman:namespace": "arcade"}, address=("", "")).exports
    assert (exports["ingress_ip"], exports["ingress_hostname"], exports["url"]) == ("", "", "")
    assert "kubectl --context minikube -n arcade port-forward service/pacman 9090:80" in exports["access_hint"]
