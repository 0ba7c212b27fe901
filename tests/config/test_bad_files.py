"""One bad file a mistake; its first line holds the exact message, without the name of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter import config

FOLDER = Path(__file__).parent / "bad"
FILES = sorted(FOLDER.glob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_each_mistake_has_its_place_and_its_sentence(path):
    """A bad file gives exactly the message on its first line, and nothing else."""
    expected = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# expect: ")
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.load(path, environ={})
    assert [problem.replace(str(FOLDER), "{folder}") for problem in caught.value.problems] == [
        f"{{folder}}/{path.name}:{expected}"
    ]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_no_message_holds_a_secret(path):
    """Passwords of the bad files never reach the message about them."""
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.load(path, environ={})
    assert not [word for word in ("hunter2", "31337", "0123") if word in str(caught.value)]


def test_there_are_bad_files():
    """The table is not empty by accident."""
    assert len(FILES) > 90


def test_all_mistakes_are_told_at_once_first_line_first(tmp_path):
    """Mistakes of the syntax of words, of the schema and of secret files come together, sorted by place."""
    file = tmp_path / "all.yml"
    file.write_text(
        "log: {level: inf}\n"
        "databases:\n"
        "  good: {url_file: missing}\n"
        "  bad: {url: '${UNSET}', pool: {size: no}}\n"
        "log: {}\n"
        "pakages: {}\n"
    )
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.load(file, environ={})
    found = [problem.removeprefix(f"{file}:").split(" ")[0] for problem in caught.value.problems]
    assert found == ["1:14:", "3:20:", "4:14:", "4:39:", "5:1:", "6:1:"]
    assert str(caught.value).splitlines() == list(caught.value.problems)


def _places(text):
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse(text, name="f", environ={})
    return [problem.split(": ")[1] for problem in caught.value.problems]


GOOD = "url: 'sqlite:////srv/a.db'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f"log: {{level: loud}}\ndatabases: {{a: {{{GOOD}}}}}\npackages: {{n: {{database: b}}}}\n",
            ["log.level", "packages.n.database"],
            id="a wrong word elsewhere",
        ),
        pytest.param(
            f"databases: {{a: {{{GOOD}, row_limit: 0}}}}\npackages: {{n: {{database: a}}, m: {{database: b}}}}\n",
            ["databases.a.row_limit", "packages.m.database"],
            id="a database with a mistake is a database",
        ),
        pytest.param(
            "databases: {a: {url_file: /no/file}}\npackages: {n: {database: a, timezone: Mars}}\n",
            ["databases.a.url_file", "packages.n.timezone"],
            id="a secret that cannot be read",
        ),
        pytest.param(
            "databases: [a]\npackages: {n: {database: b, timezone: Mars}}\n",
            ["databases", "packages.n.timezone"],
            id="nobody knows what a list of databases means",
        ),
        pytest.param(
            f"database: {{a: {{{GOOD}}}}}\npackages: {{n: {{database: b, timezone: Mars}}}}\n",
            ["unknown key 'database'; did you mean 'databases'?", "packages.n.timezone"],
            id="a typing error in a section's word",
        ),
        pytest.param(
            "listen: [{address: here}, {address: ':1', serve: [all]}, {address: ':2', serve: [api, api]}]\n",
            ["listen[0].address", "listen[1].serve[0]", "listen[2].serve"],
            id="each listener",
        ),
        pytest.param(
            "store: {path: x}\nlog: [x]\nemail: 5\nlisten: {}\npackages: {n: {database: b}}\n",
            ["store", "log", "email", "listen", "packages.n.database"],
            id="whole sections",
        ),
    ],
)
def test_a_mistake_hides_no_other(text, expected):
    """What is right in itself is held against the rest, and nothing is told that only another mistake caused."""
    assert _places(text) == expected


def test_at_most_a_hundred_mistakes_are_told():
    """A thousand unknown keys make a short message."""
    text = "".join(f"key{number}: 1\n" for number in range(1000))
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse(text, name="many", environ={})
    assert len(caught.value.problems) == 101
    assert caught.value.problems[-1] == "many: there are more mistakes: mend these 100 first"
