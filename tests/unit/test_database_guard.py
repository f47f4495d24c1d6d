"""Which changes of a database the guard refuses, and what it does to volumes.

Mocks show each call of the provider by itself. That the engine asks it with the inputs of the last `up`, and that the
data survive what it lets through, tests/engine shows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from components import cluster
from components.dynamic_providers import DatabaseProvider, VolumesProvider
from components.mongo.guard import line_of

NEW = {
    "database": "mongo",
    "members": 3,
    "image": "mongo:7.0.43",
    "line": "7.0",
    "compatibility": "",
    "storageClass": "fast",
    "volumeSize": "2Gi",
    "rotation": 0,
    "stack": "pacman/prod",
}
WAS = {**NEW, "compatibility": "7.0"}
RUNS: dict[str, Any] = {
    "members": 3,
    "image": "mongo:7.0.43",
    "line": "7.0",
    "storageClass": "fast",
    "volumeSize": "2Gi",
    "rotated": 0,
    "ready": [0, 1, 2],
    "restarts": False,
}


def reasons(was: Mapping[str, Any], runs: Mapping[str, Any] | None = None, **news: object) -> list[str]:
    wanted = {**NEW, **news, "runs": dict(RUNS if runs is None else runs)}
    return [failure.reason for failure in DatabaseProvider().check(dict(was), wanted).failures]


def kept(was: Mapping[str, Any], runs: Mapping[str, Any] | None = None, **news: object) -> Mapping[str, Any]:
    inputs: Mapping[str, Any] = DatabaseProvider().check(dict(was), {**NEW, **news, "runs": dict(runs or {})}).inputs
    return inputs


class TestTheFirstUp:
    def test_a_new_database_takes_everything_and_has_the_compatibility_of_its_image(self) -> None:
        assert reasons({}, runs={}) == []
        assert kept({})["compatibility"] == "7.0"

    def test_a_new_database_cannot_have_the_compatibility_of_another_version(self) -> None:
        (reason,) = reasons({}, runs={}, compatibility="6.0")
        assert reason.startswith('pacman:mongoFeatureCompatibility is "6.0": must be empty or 7.0 on a new database')
        assert reasons({}, runs={}, compatibility="7.0") == []

    def test_a_database_of_before_the_guard_is_compared_with_what_runs(self) -> None:
        assert reasons({}, storageClass="slow") == [
            'pacman:mongoStorageClass is "slow": must stay fast, since volumes do not change their class; set'
            " mongoStorageClass to it"
        ]
        assert "runs" not in kept({}, RUNS)

    def test_an_image_whose_tag_says_no_version_does_not_stop_the_first_up_with_a_guard(self) -> None:
        assert reasons({}, runs={**RUNS, "line": ""}) == []


class TestMembers:
    @pytest.mark.parametrize("members", [1, 3, 5])
    def test_any_number_is_taken_where_the_program_can_see_the_database(self, members: int) -> None:
        assert reasons(WAS, members=members) == []

    def test_fewer_are_refused_where_it_cannot_because_they_must_leave_the_set_first(self) -> None:
        assert reasons(WAS, runs={}, members=1) == [
            'pacman:mongoMembers is "1": must be 3 or more, since the StatefulSet of the database cannot be read; take'
            " the right to list StatefulSets, Jobs, pods and claims in the namespace, or let somebody run `pulumi up`"
            " who has it"
        ]
        assert reasons(WAS, runs={}, members=5) == []

    def test_after_an_interrupted_up_as_many_count_as_there_may_still_be(self) -> None:
        interrupted = kept(WAS, RUNS, members=1)
        assert interrupted["deployed"] == 3
        (reason,) = reasons(interrupted, runs={}, members=1)
        assert reason.startswith('pacman:mongoMembers is "1": must be 3 or more, since the StatefulSet')
        gone = kept(interrupted, {**RUNS, "members": 1}, members=1)
        assert gone["deployed"] == 1
        assert reasons(gone, runs={}, members=1) == []
        assert kept(WAS, {**RUNS, "members": 1}, members=5)["deployed"] == 5, "they may have begun to come"

    @pytest.mark.parametrize(
        ("members", "ready", "told"),
        [
            (1, [1, 2], "mongo-0 is ready"),
            (1, [], "mongo-0 is ready"),
            (3, [0, 3, 4], "mongo-1 and mongo-2 are ready"),
        ],
    )
    def test_fewer_are_refused_if_those_that_stay_have_no_majority(
        self, members: int, ready: list[int], told: str
    ) -> None:
        before = 5 if members == 3 else 3
        was, runs = {**WAS, "members": before}, {**RUNS, "members": before}
        refused = [
            f'pacman:mongoMembers is "{members}": must be {before} until {told}, since the members that stay would have'
            " no majority"
        ]
        assert reasons(was, runs={**runs, "ready": ready}, members=members) == refused
        # Also again, after an `up` that wanted them and was interrupted.
        assert reasons({**WAS, "members": members}, runs={**runs, "ready": ready}, members=members) == refused
        assert reasons({**WAS, "members": 5}, runs={**RUNS, "members": 5, "ready": [0, 1]}, members=3) == []
        (reason,) = reasons(WAS, runs={**RUNS, "ready": []}, database="orders", members=1)
        assert "until orders-0 is ready" in reason


class TestVersions:
    def test_the_next_major_version_is_taken_and_a_patch(self) -> None:
        assert reasons(WAS, image="mongo:8.0.32", line="8.0") == []
        assert reasons(WAS, image="mongo:7.0.50") == []

    def test_a_skipped_version_is_refused_whatever_the_person_may_read(self) -> None:
        for runs in ({}, RUNS):
            (reason,) = reasons(WAS, runs=runs, image="mongo:9.0.1", line="9.0")
            assert reason == (
                'pacman:mongoImage is "mongo:9.0.1": must be at most one major version after 7.0, the'
                " featureCompatibilityVersion of the data"
            )

    def test_the_version_after_next_wants_the_compatibility_raised_first(self) -> None:
        upgraded = {**WAS, "image": "mongo:8.0.32", "line": "8.0"}
        (reason,) = reasons(upgraded, image="mongo:9.0.1", line="9.0")
        assert reason.endswith("; raise that first, with mongoFeatureCompatibility 8.0")

    def test_the_way_back_is_open_until_the_compatibility_is_raised(self) -> None:
        upgraded = {**WAS, "image": "mongo:8.0.32", "line": "8.0"}
        assert reasons(upgraded) == []
        (reason,) = reasons({**upgraded, "compatibility": "8.0"})
        assert reason == (
            'pacman:mongoImage is "mongo:7.0.43": must be MongoDB 8.0 or newer, since the featureCompatibilityVersion'
            " of the data is 8.0"
        )

    def test_the_compatibility_is_raised_after_the_version_and_not_with_it(self) -> None:
        upgraded = {**WAS, "image": "mongo:8.0.32", "line": "8.0"}
        change: dict[str, Any] = {"image": "mongo:8.0.32", "line": "8.0", "compatibility": "8.0"}
        assert reasons(upgraded, **change) == []
        assert kept(upgraded, **change)["compatibility"] == "8.0"
        (reason,) = reasons(WAS, **change)
        assert reason == (
            'pacman:mongoFeatureCompatibility is "8.0": must stay 7.0 until MongoDB 8.0 has been deployed: first'
            " `pulumi up` with that mongoImage"
        )

    def test_the_compatibility_is_raised_only_when_every_member_runs_the_version(self) -> None:
        eight: dict[str, Any] = {"line": "8.0", "image": "mongo:8.0.32"}
        was = {**WAS, **eight}
        for half in ({**RUNS, "restarts": True}, {**RUNS, "ready": [0, 1]}):
            (reason,) = reasons(was, runs=half, **eight, compatibility="8.0")
            assert reason.endswith(' is "8.0": must stay 7.0 until every member is ready and runs MongoDB 8.0')
            assert reasons(was, runs=half, **eight) == []
        assert reasons(was, **eight, compatibility="8.0") == []

    def test_the_compatibility_is_not_lowered_and_stays_where_the_config_sets_none(self) -> None:
        raised = {**WAS, "image": "mongo:8.0.32", "line": "8.0", "compatibility": "8.0"}
        (reason,) = reasons(raised, image="mongo:8.0.32", line="8.0", compatibility="7.0")
        assert reason.startswith('pacman:mongoFeatureCompatibility is "7.0": must be 8.0, or empty')
        assert kept(raised, image="mongo:8.0.32", line="8.0")["compatibility"] == "8.0"

    @pytest.mark.parametrize(
        ("image", "line"),
        [
            ("mongo:8.0.32", "8.0"),
            ("mirror.example:5000/mongo:7.0.43-jammy@sha256:" + "a" * 64, "7.0"),
            ("sandbox/mongo:6.0.5", "6.0"),
            ("mongo:v8.0.1", "8.0"),
            ("mongo:8.0@sha256:" + "a" * 64, "8.0"),
        ],
    )
    def test_the_tag_says_the_version(self, image: str, line: str) -> None:
        assert line_of(image) == line

    @pytest.mark.parametrize(
        "image", ["mongo@sha256:" + "a" * 64, "mongo:8@sha256:" + "a" * 64, "mongo:noble@sha256:" + "a" * 64]
    )
    def test_an_image_without_a_version_is_refused(self, image: str) -> None:
        with pytest.raises(ValueError, match=r"must have a tag that says the version"):
            line_of(image)


class TestVolumes:
    @pytest.mark.parametrize("size", ["2Gi", "2048Mi", "4Gi", "1Ti"])
    def test_a_volume_may_stay_and_grow(self, size: str) -> None:
        assert reasons(WAS, volumeSize=size) == []

    @pytest.mark.parametrize("size", ["1Gi", "2G", "2047Mi"])
    def test_a_volume_does_not_shrink(self, size: str) -> None:
        assert reasons(WAS, volumeSize=size) == [
            f'pacman:mongoVolumeSize is "{size}": must be 2Gi or more: no volume shrinks'
        ]

    def test_without_any_volume_the_refusal_says_that_nothing_is_lost(self) -> None:
        found = reasons(WAS, runs={**RUNS, "unbound": True}, storageClass="slow", volumeSize="1Gi")
        assert len(found) == 2
        for reason in found:
            assert "; no member has ever had a volume: `pulumi destroy`" in reason

    def test_a_size_that_the_cluster_refused_can_be_set_back(self) -> None:
        refused = {**WAS, "volumeSize": "3Gi"}
        assert reasons(refused, volumeSize="2Gi") == []
        assert reasons(refused, runs={**RUNS, "volumeSize": "3Gi"}, volumeSize="2Gi") != []
        assert reasons(WAS, runs={**RUNS, "volumeSize": "10Gi"}) == [], "somebody else has enlarged them"
        assert reasons(refused, runs={}, volumeSize="2Gi") != [], "what cannot be seen may have grown"

    def test_the_claims_grow_first_and_then_their_volumes_are_retained(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[tuple[str, Sequence[Any]]] = []

        def grow(*given: object) -> list[str]:
            calls.append(("grow", given))
            return ["uid"]

        monkeypatch.setattr(cluster, "grow_claims", grow)
        monkeypatch.setattr(cluster, "retain_volumes", lambda *given: calls.append(("retain", given)))
        props = {"context": "here", "namespace": "n", "claims": ["c"], "size": "4Gi", "project": "pacman"}
        VolumesProvider().create({**props, "retain": False})
        VolumesProvider().update("volumes", {}, {**props, "retain": True})
        assert calls == [
            ("grow", ("here", "n", ["c"], "4Gi")),
            ("grow", ("here", "n", ["c"], "4Gi")),
            ("retain", ("here", "n", ["c"])),
        ]

    def test_a_claim_that_took_the_place_of_a_lost_one_grows_and_is_retained_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster, "grow_claims", lambda *_: ["first", "second"])
        props = {"context": "here", "namespace": "n", "claims": ["c", "d"], "size": "4Gi", "project": "pacman"}
        made = VolumesProvider().create({**props, "retain": False, "uids": []}).outs
        assert made is not None

        def changes(*uids: str) -> bool:
            news = {**props, "retain": False, "uids": list(uids)}
            return bool(VolumesProvider().diff("volumes", made, news).changes)

        assert not VolumesProvider().diff("volumes", props, props).changes, "a refresh, after an older program"
        assert not changes("first", "second")
        assert not changes(), "not known"
        assert not changes("first"), "one member less"
        assert changes("first", "third")

    def test_a_class_that_cannot_grow_is_told_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise cluster.RefusedError(403, "PATCH /api: 403 Forbidden", "the storageclass must support resize")

        monkeypatch.setattr(cluster, "grow_claims", refuse)
        props = {"context": "here", "namespace": "n", "claims": ["c"], "size": "4Gi", "project": "pacman"}
        with pytest.raises(RuntimeError) as told:
            VolumesProvider().create({**props, "retain": False})
        assert str(told.value) == (
            'pacman:mongoVolumeSize is "4Gi": cannot grow the volumes: the storageclass must support resize'
        )


class TestRotation:
    def test_the_passwords_change_once_at_a_time(self) -> None:
        assert reasons(WAS, rotation=1) == []
        for rotation in (2, 7):
            assert reasons(WAS, rotation=rotation) == [
                f'pacman:passwordRotation is "{rotation}": must be 0, or 1 to change the passwords'
            ]
        assert reasons({**WAS, "rotation": 3}, rotation=2) == [
            'pacman:passwordRotation is "2": must be 3, or 4 to change the passwords'
        ]

    def test_the_next_change_waits_for_the_end_of_the_one_before(self) -> None:
        begun = {**WAS, "rotation": 1}
        assert reasons(begun, rotation=1) == [], "an interrupted one goes on"
        assert reasons(begun, rotation=2) == [
            'pacman:passwordRotation is "2": must stay 1: that rotation has not finished, and the old passwords are'
            " still in use; set 1, and run `pulumi up --refresh` until it succeeds"
        ]
        assert reasons(begun, runs={**RUNS, "rotated": 1}, rotation=2) == []
        assert reasons(begun, runs={}, rotation=2) != [], "what cannot be seen has not ended"
