"""Who owns a service, and who lives: alike for whoever looks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.replicas import DEAD_AFTER, Liveness, candidates, owner

SERVICES = [f"acme/service-{number}" for number in range(10_000)]
names = st.sets(st.text(min_size=1, max_size=80), min_size=1, max_size=8)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_services_are_even_over_the_replicas(count: int) -> None:
    replicas = [f"watchbridge-{number}" for number in range(count)]
    shares = Counter(owner(service, replicas) for service in SERVICES)
    assert set(shares) == set(replicas)
    assert all(abs(share - 10_000 / count) < 4 * (10_000 / count) ** 0.5 for share in shares.values())


def test_only_the_share_of_a_lost_replica_moves_and_comes_back() -> None:
    replicas = ["a", "b", "c", "d"]
    before = {service: owner(service, replicas) for service in SERVICES}
    after = {service: owner(service, ["a", "b", "d"]) for service in SERVICES}
    assert {before[service] for service in SERVICES if before[service] != after[service]} == {"c"}
    moved = Counter(after[service] for service in SERVICES if before[service] == "c")
    assert all(share > 600 for share in moved.values()), "the share goes to all of the others"
    assert len(moved) == 3
    more = {service: owner(service, [*replicas, "e"]) for service in SERVICES}
    assert {more[service] for service in SERVICES if before[service] != more[service]} == {"e"}


@given(st.text(max_size=50), names)
def test_the_owner_is_one_of_them_in_whatever_order(service: str, replicas: set[str]) -> None:
    found = owner(service, sorted(replicas))
    assert found in replicas
    assert owner(service, sorted(replicas, reverse=True)) == found
    assert owner(service, replicas) == found


def test_without_replicas_nobody_owns() -> None:
    assert owner("acme/web", []) is None


NODES = {"a": "web1", "b": "web2", "c": "web1", "old": None}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        pytest.param("web1", {"a", "c"}, id="its own replicas"),
        pytest.param("web2", {"b"}, id="its one replica"),
        pytest.param("web3", set(NODES), id="where none lives on it any may"),
        pytest.param("WEB1", set(NODES), id="names are alike to the letter"),
        pytest.param(None, set(NODES), id="what belongs to no node is anybody's"),
    ],
)
def test_what_belongs_to_a_node_is_for_its_own_replicas(node: str | None, expected: set[str]) -> None:
    assert set(candidates(NODES, node)) == expected


def test_only_its_own_share_moves_when_a_replica_of_the_node_is_lost() -> None:
    """The others of the node take it; when the last one is gone, all the rest do."""
    before = {service: owner(service, candidates(NODES, "web1")) for service in SERVICES[:500]}
    assert set(before.values()) == {"a", "c"}
    for lost, rest in (({"c"}, {"a"}), ({"a", "c"}, {"b", "old"})):
        left = {name: node for name, node in NODES.items() if name not in lost}
        after = {service: owner(service, candidates(left, "web1")) for service in before}
        assert {before[service] for service in before if before[service] != after[service]} == lost
        assert {after[service] for service in before if before[service] in lost} == rest


def test_a_replica_lives_while_its_heartbeat_changes() -> None:
    """By the clock of who looks: one whose clock is years off, or stands, or goes back, is judged by changes alone."""
    live = Liveness("me")
    assert live.look({}, 0.0) == {"me"}
    assert live.look({"ahead": 9e9, "behind": 5.0, "dead": 100.0}, 1.0) == {"me", "ahead", "behind", "dead"}
    for second in range(2, 11):
        live.look({"ahead": 9e9 + second, "behind": 5.0 - second, "dead": 100.0}, float(second))
    assert live.look({"ahead": 9e9 + 11, "behind": -6.0, "dead": 100.0}, 11.0) == {"me", "ahead", "behind"}
    assert live.look({"ahead": 9e9 + 12, "behind": -6.0, "dead": 100.5}, 12.0) == {"me", "ahead", "behind", "dead"}
    assert live.look({"ahead": 9e9 + 13}, 13.0) == {"me", "ahead"}, "who is gone from the store is gone at once"


def test_we_live_whatever_the_store_says() -> None:
    live = Liveness("me")
    live.look({"me": 1.0}, 0.0)
    assert live.look({"me": 1.0}, 1000.0) == {"me"}
    assert live.look({}, 2000.0) == {"me"}


@given(
    st.floats(-1e9, 1e9),
    st.lists(st.tuples(st.floats(0.1, 30.0), st.booleans()), min_size=1, max_size=50),
)
def test_dead_is_who_did_not_beat_for_ten_seconds(skew: float, steps: list[tuple[float, bool]]) -> None:
    live, now, beat = Liveness("me"), 0.0, 0.0
    live.look({"other": skew}, now)
    seen = now
    for passed, beats in steps:
        now += passed
        beat += beats
        if beats or passed >= DEAD_AFTER / 2:  # where nobody looked for so long, the store may have been away
            seen = now
        assert ("other" in live.look({"other": skew + beat}, now)) == (now - seen < DEAD_AFTER)


def test_two_that_look_agree_though_their_clocks_differ() -> None:
    """Two replicas, each with a monotonic clock of its own and the other's skewed heartbeat, own each service once."""
    live = {"a": Liveness("a"), "b": Liveness("b")}
    began = {"a": 10.0, "b": 777_777.0}
    skew = {"a": 0.0, "b": 300.0}
    for second in range(30):
        beats = {name: 1e9 + second + skew[name] for name in live}
        owned = {
            name: {
                service for service in SERVICES[:200] if owner(service, one.look(beats, began[name] + second)) == name
            }
            for name, one in live.items()
        }
        assert owned["a"] | owned["b"] == set(SERVICES[:200])
        assert not owned["a"] & owned["b"]
