"""Two readers of YAML, libyaml's and the one in Python: the same configuration, the same mistakes, no overflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import config
from exporter.config import document

FOLDER = Path(__file__).parent
FILES = sorted([*FOLDER.glob("bad/*.yml"), *FOLDER.glob("good/*.yml")])
ENVIRON = {"SMTP_PASSWORD": "x"}


def _outcome(path: Path) -> object:
    try:
        return config.load(path, environ=ENVIRON)
    except config.InvalidConfigurationError as error:
        return error.problems


def _document(text: str) -> object:
    try:
        found = document.read(text, "f")
    except config.InvalidConfigurationError as error:
        return error.problems
    return found.data, found.mistakes, found.places


def test_libyaml_is_here():
    """The tests below compare two readers."""
    assert document.QUICK is yaml.CSafeLoader


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_both_readers_find_the_same(monkeypatch, path):
    """Every good file is the same configuration, every bad one the same sentences."""
    quick = _outcome(path)
    monkeypatch.setattr(document, "QUICK", None)
    assert _outcome(path) == quick


KEYS = st.sampled_from(["a", "b c", "on", "'q'", '"d\\n"', "é", "a/b", "x-y"])
SCALARS = st.one_of(
    st.sampled_from(
        ["x", "'it''s'", '"a\\tb"', "5", "-1.5", "true", "~", "5m", "http://h:1/p", "a b", "é ✓", "''", "yes"]
    ),
    st.text(alphabet="abc 0.-'\"", max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'"),
)
FLOW = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: "[" + ", ".join(found) + "]"),
        st.dictionaries(KEYS, inner, max_size=3).map(
            lambda found: "{" + ", ".join(f"{k}: {v}" for k, v in found.items()) + "}"
        ),
    ),
    max_leaves=8,
)


def _block(lines: list[tuple[str, str]], indent: str) -> str:
    return "".join(f"{indent}{key}: {value}\n" for key, value in lines)


BLOCKS = st.lists(
    st.tuples(
        KEYS,
        st.one_of(
            FLOW,
            st.lists(st.tuples(KEYS, FLOW), min_size=1, max_size=3).map(lambda one: "\n" + _block(one, "    ")[:-1]),
        ),
    ),
    max_size=4,
).map(lambda lines: _block(lines, ""))


@settings(max_examples=300, deadline=None)
@given(BLOCKS)
def test_both_readers_give_the_same_data_and_places(text):
    """What people write is read to the same values at the same lines and columns."""
    quick = _document(text)
    found, document.QUICK = document.QUICK, None
    try:
        assert _document(text) == quick
    finally:
        document.QUICK = found


@pytest.mark.parametrize("reader", ["QUICK", "None"])
@pytest.mark.parametrize(
    "shape",
    ["'[' * 1_000_000", "'{a: ' * 300_000", "'- ' * 500_000", "'? ' * 500_000", "'[' * 1_000_000 + ']' * 1_000_000"],
)
def test_a_million_brackets_are_one_sentence(reader, shape):
    """Neither reader overflows its stack on deep nesting; in a process of its own, which a crash would end."""
    program = (
        "from exporter import config\n"
        "from exporter.config import document\n"
        f"document.QUICK = document.{reader}\n".replace("document.None", "None")
        + f"try: document.read({shape}, 'f')\n"
        "except config.InvalidConfigurationError as error: print(error.problems[-1])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("f:1:")
    assert result.stdout.endswith(": nested deeper than 32 levels: make it flatter\n")


LARGE = "# a comment that makes the file a large one\n" * 8000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2\nb: 3\n", "a list or mapping goes wrong here"),
        ("a: {b: 1\n", "a list or mapping goes wrong here"),
        ("a: 'x\n", "the file ends inside a quoted text: close the quote"),
        ("a: @x\n", "a text that begins with such a character must be quoted"),
        ("a: b: c\n", "a ':' where no key can stand"),
        ("a: b\n c\n: d\n  e: f\n", "this does not line up"),
        ("a:\n  - b\n c: d\n", "this does not line up"),
        ("a\nb: c\n", "a ':' where no key can stand"),
        ('a: "\\ud800"\n', "this escape names no character, or half of one"),
        ('a: "\\UFFFFFFFF"\n', "this escape names no character"),
        ("a: *\n", "a text that begins with * or & must be quoted"),
        ("a: !!\x00x\n", "the character U+0000 may not stand in YAML"),
    ],
)
def test_a_large_file_that_is_no_yaml_says_why(text, expected):
    """Libyaml's own words become ours where a second reading would take too long."""
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse(LARGE + text, name="f", environ={})
    (problem,) = caught.value.problems
    line, _, sentence = problem.removeprefix("f:").partition(": ")
    assert expected in sentence
    assert int(line.split(":")[0]) > 8000


def test_tabs_mean_the_same_in_small_and_large_files():
    """Libyaml takes tabs that the other reader refuses: where there are tabs, the other one reads."""
    small, large = (_document(text + "log:\n\tlevel: debug\n") for text in ("", "# x\n" * 70_000))
    assert small == ("f:2:1: a tab: YAML is indented and separated by spaces only",)
    assert large == ("f:70002:1: a tab: YAML is indented and separated by spaces only",)


def test_variables_count_once_where_a_file_is_read_twice():
    """The second reading begins anew: nothing of the first is left."""
    text = "log: {file: '${BIG}'}\nemail: {host: \"\\ud800\"}\n"
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse(text, name="f", environ={"BIG": "x" * 600_000})
    assert "half a character" in str(caught.value)
    assert "add up" not in str(caught.value)


SERVICE = """\
  svc-{0:05}:
    client: team-{1}
    group: group-{1}
    probe:
      kind: tcp
      address: 127.0.0.1:{2}
      every: 60s
      timeout: 5s
"""


def _services(count: int) -> str:
    return "services:\n" + "".join(SERVICE.format(number, number % 50, 1000 + number) for number in range(count))


def test_ten_thousand_services_are_read():
    """One file may hold them all, and each is what was written."""
    found = config.parse(_services(10_000), name="f", environ={})
    assert len(found.services) == 10_000
    assert found.services["svc-09999"].probe.options.address == "127.0.0.1:10999"
    assert (found.services["svc-00007"].client, found.services["svc-00007"].probe.beside.every) == ("team-7", 60.0)


def test_of_ten_thousand_services_the_wrong_ones_are_told_first_line_first():
    """Those that are right cost little, and what is told are the first mistakes."""
    text = _services(10_000)
    one = text.replace("kind: tcp\n      address: 127.0.0.1:6000", "kind: tpc\n      address: 127.0.0.1:6000")
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse(one, name="f", environ={})
    (problem,) = caught.value.problems
    assert problem.startswith("f:40006:13: services.svc-05000.probe.kind: found 'tpc'")
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse(text.replace("timeout", "timeuot"), name="f", environ={})
    assert len(caught.value.problems) == 101
    assert caught.value.problems[0] == "f:9:7: services.svc-00000.probe: unknown key 'timeuot'; did you mean 'timeout'?"
