"""What the configuration says of services: what is refused, what is warned of, and who needs whom."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.config.unread import NotReadError, Unread, UnreadMapping
from exporter.services import dependencies
from exporter.services.options import ProbingOptions, ReadingsOptions, ServiceOptions, Timing

NONE = config.Configuration()
PROBE = "{kind: tcp, address: '127.0.0.1:1'}"


def _told(ask) -> list[str]:
    return [f"{'.'.join(map(str, path))}: {sentence}" for path, sentence in ask(NONE)]


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({}, []),
        ({"every": 1.0}, []),
        ({"schedule": "*/5 * * * *"}, []),
        ({"schedule": "0 2 * * 0", "timezone": "Europe/Bucharest"}, []),
        ({"every": 30.0, "schedule": "* * * * *"}, ["schedule: give 'every' or 'schedule', not both"]),
        ({"timezone": "Mars"}, ["timezone: there is no time zone 'Mars': write one like Europe/Bucharest"]),
        ({"timezone": "../passwd"}, ["timezone: there is no time zone '../passwd': write one like Europe/Bucharest"]),
        ({"timezone": "a\0b"}, ["timezone: there is no time zone 'a\\x00b': write one like Europe/Bucharest"]),
        (
            {"schedule": "* * * * *", "timezone": "Europe/Bucarest"},
            ["timezone: there is no time zone 'Europe/Bucarest'; did you mean 'Europe/Bucharest'?"],
        ),
    ],
)
def test_when_a_probe_runs_is_said_in_one_way(keywords, expected):
    """An interval or a pattern with a zone that exists."""
    assert _told(Timing(**keywords).problems) == expected


@pytest.mark.parametrize("pattern", ["", "hourly", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "a b c d e"])
def test_a_pattern_that_never_fires_or_is_none_is_told(pattern):
    """What the pattern's reader says of it becomes a mistake at `schedule`."""
    ((path, sentence),) = Timing(schedule=pattern).problems(NONE)
    assert path == ("schedule",)
    assert sentence


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({}, None),
        ({"every": 5.0, "timeout": 5.0}, None),
        ({"schedule": "* * * * *", "timeout": 600.0}, None),
        ({"schedule": "* * * * *", "timezone": "Europe/Bucharest"}, None),
        ({"every": 5.0, "timeout": 6.0}, "timeout: is longer than the 5 s between two runs"),
        ({"timeout": 61.0}, "timeout: is longer than the 60 s between two runs"),
        ({"timezone": "Europe/Bucharest"}, "timezone: is used by `schedule` alone"),
        ({"slow_after": 4.0}, None),
        ({"slow_after": 5.0}, "slow_after: is not shorter than `timeout`: no run is ever slow"),
    ],
)
def test_what_is_hardly_meant_is_a_warning(keywords, expected):
    """A timeout may be longer than the interval; what has no effect is told."""
    told = _told(Timing(**keywords).warnings)
    assert (told == []) if expected is None else told[0].startswith(expected)
    assert len(told) <= 1


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.0/8",
        "10.0.0.5/8",
        "fd00::/8",
        "127.0.0.1",
        "::1",
        "web.example",
        "web",
        "Web.Example.",
        "bücher.example",
    ],
)
def test_a_network_an_address_and_a_name_may_be_allowed(entry):
    """Whatever leads to hosts in one certain way."""
    assert _told(ProbingOptions(allow=(entry,)).problems) == []


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "http://web.example/",
        "web.example:80",
        "web.example/x",
        "*.example",
        "10.0.0.0/33",
        "10.0.0.256",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.1.1",
        "[::1]",
        "a b",
        "a\r\nb",
    ],
)
def test_what_leads_nowhere_certain_is_not_allowed(entry):
    """URLs, ports, wildcards and spellings of addresses that resolvers understand differently are refused."""
    ((path, sentence),) = ProbingOptions(allow=("web.example", entry)).problems(NONE)
    assert path == ("allow", 1)
    assert "is no network, address or name: write a network like 10.0.0.0/8" in sentence
    assert "\n" not in sentence


def test_an_address_that_is_never_probed_cannot_be_allowed():
    """The configuration cannot open the door to a cloud's credentials, and says so instead of failing later."""
    told = _told(ProbingOptions(allow=("169.254.169.254", "fe80::1")).problems)
    assert [sentence.endswith("it is never probed; leave it out") for sentence in told] == [True, True]


def test_a_password_in_an_entry_is_not_repeated():
    """An entry may be a URL by mistake."""
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse("probing: {allow: ['http://u:hunter2@h/']}", name="f", environ={})
    assert "hunter2" not in str(caught.value)


def test_everything_allowed_is_a_warning():
    """Whoever reaches /probe could look at every host from here."""
    told = _told(ProbingOptions(allow=("10.0.0.0/8", "0.0.0.0/0", "::/0")).warnings)
    assert [line.split(":")[0] for line in told] == ["allow.1", "allow.2"]


def test_states_that_are_forgotten_before_the_longest_ratio_are_a_warning():
    """The ratio over ninety days needs ninety days."""
    assert _told(ReadingsOptions(states_retention=90 * 86400.0).warnings) == []
    (told,) = _told(ReadingsOptions(states_retention=89 * 86400.0).warnings)
    assert told.startswith("states_retention: is shorter than 90d")


def _configuration(parents) -> config.Configuration:
    return config.Configuration(services={name: _service(needed) for name, needed in parents.items()})


def _service(needed):
    return Unread() if needed is None else ServiceOptions(probe=None, depends_on=tuple(needed))


def _dependencies(parents) -> list[tuple[tuple[str | int, ...], str]]:
    return list(dependencies.problems(_configuration(parents)))


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ({}, []),
        ({"a": [], "b": ["a"], "c": ["a", "b"]}, []),
        ({"a": ["a"]}, [("a", 0, "a service cannot depend on itself: leave it out")]),
        ({"a": ["zz"]}, [("a", 0, "there is no service 'zz': add it below `services`, or leave it out")]),
        ({"web": [], "b": ["wbe"]}, [("b", 0, "there is no service 'wbe'; did you mean 'web'?")]),
        ({"a": ["b"], "b": None}, []),
        (
            {"a": ["b"], "b": ["a"]},
            [("b", 0, "these services wait for each other in a circle: a -> b -> a; take one of them out")],
        ),
        (
            {"x": ["a"], "a": ["c", "b"], "b": ["c", "a"], "c": []},
            [("b", 1, "these services wait for each other in a circle: a -> b -> a; take one of them out")],
        ),
        (
            {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]},
            [
                ("b", 0, "these services wait for each other in a circle: a -> b -> a; take one of them out"),
                ("d", 0, "these services wait for each other in a circle: c -> d -> c; take one of them out"),
            ],
        ),
    ],
)
def test_parents_are_known_and_no_circle(parents, expected):
    """An unknown parent, a service itself and a circle are told at the entry that makes them; once each."""
    told = [(path[1], path[3], sentence) for path, sentence in _dependencies(parents)]
    assert told == expected
    assert all(path[0] == "services" and path[2] == "depends_on" for path, _ in _dependencies(parents))


def test_a_long_circle_is_shortened_and_a_long_chain_is_none():
    """Ten thousand services in a row are no deeper than two, and a message stays short."""
    chain = {f"s{number}": [f"s{number + 1}"] for number in range(9_999)} | {"s9999": []}
    assert _dependencies(chain) == []
    ((path, sentence),) = _dependencies(chain | {"s9999": ["s0"]})
    assert path == ("services", "s9999", "depends_on", 0)
    assert "s8 -> s9 -> … -> s0; take one of them out" in sentence
    assert len(sentence) < 200


def test_a_section_that_is_no_mapping_has_no_names():
    """Nothing is said of parents where nobody knows the services."""
    found = config.Configuration(services=UnreadMapping())
    with pytest.raises(NotReadError):
        list(dependencies.problems(found))


NAMES = "abcdef"


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True, max_size=3)))
def test_a_circle_is_told_exactly_where_there_is_one(parents):
    """Among known services other than oneself: told if and only if taking childless ones away leaves some over."""
    told = [sentence for _, sentence in _dependencies(parents) if "circle" in sentence]
    left = {name: {one for one in needed if one in parents and one != name} for name, needed in parents.items()}
    while free := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in free:
            del left[name]
    assert bool(told) is bool(left)
    for sentence in told:
        way = sentence.partition("circle: ")[2].partition(";")[0].split(" -> ")
        assert way[0] == way[-1]
        assert all(later in parents[earlier] for earlier, later in pairwise(way))


def test_an_unread_service_hides_no_other_mistake():
    """A service with a mistake of its own is a service to depend on."""
    text = f"services: {{a: {{probe: {PROBE}, depends_on: [b, c]}}, b: {{probe: {{kind: tpc}}}}}}"
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse(text, name="f", environ={})
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "services.a.depends_on[1]",
        "services.b.probe.kind",
    ]
