"""Strict YAML: bombs are cheap, and anything that is no configuration is one clear sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import config
from exporter.config import document

MIB = 1 << 20
BOMBS = {
    "alias bomb": "a: &a [x, x]\n"
    + "".join(f"{c}: &{c} [*{b}, *{b}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "flow sequences": "[" * MIB,
    "flow mappings": "{a: " * 200_000,
    "block sequences": "- " * 500_000,
    "explicit keys": "? " * 500_000,
    "flat list": "[" + "a," * 200_000 + "]",
    "flat keys": "".join(f"k{number}: 1\n" for number in range(60_000)),
    "one long text": "a: " + "x" * 1_000_000,
    "blank lines": "\n" * 1_000_000,
    "deep but legal, with an anchor": "a: " + "[" * 30 + "&x 1" + "]" * 30,
    "duplicates": "a: 1\n" * 200_000,
    "skipped keys": "1: [a]\n" * 100_000,
    "nested key": "? " + "[" * 100_000,
    "10 MiB": "# x\n" * (10 * MIB // 4),
    "tags": "- !!python/name:os.system\n" * 40_000,
}


def _problems(text: str) -> tuple[str, ...]:
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.parse(text, name="f", environ={})
    return caught.value.problems


def _outcome(read) -> tuple[str, ...]:
    """Return the mistakes, none where it is a configuration; any other error fails the test."""
    try:
        read()
    except config.InvalidConfigurationError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_before_it_goes_off(text):
    """A hostile file costs a second, not minutes (blank lines are a long, empty configuration)."""
    started = time.process_time()
    if text.strip():
        assert all(problem.startswith("f") for problem in _problems(text))
    else:
        config.parse(text, name="f", environ={})
    assert time.process_time() - started < 20.0


@pytest.mark.parametrize("name", ["alias bomb", "flat keys", "flat list"])
def test_a_bomb_is_refused_in_little_memory(name):
    """A hostile file costs under 100 MiB of memory."""
    tracemalloc.start()
    try:
        _problems(BOMBS[name])
        assert tracemalloc.get_traced_memory()[1] < 100 * MIB
    finally:
        tracemalloc.stop()


def test_no_tag_is_ever_constructed(tmp_path):
    """A Python tag is told and does nothing."""
    mark = tmp_path / "mark"
    problems = _problems(f"log: {{file: !!python/object/apply:os.mkdir ['{mark}']}}")
    assert problems == ("f:1:13: log.file: a tag (!name) is not supported: remove it, or quote the text",)
    assert not mark.exists()


def test_depth_of_32_is_read_and_33_is_refused():
    """The bound on nesting is where it is said to be."""
    assert document.read("[" * 32 + "]" * 32, "f").mistakes == []
    with pytest.raises(config.InvalidConfigurationError, match="nested deeper than 32"):
        document.read("[" * 33 + "x" + "]" * 33, "f")


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_configuration_or_a_mistake(tmp_path_factory, data):
    """Arbitrary bytes never raise anything but the named error."""
    file = tmp_path_factory.getbasetemp() / "any.yml"
    file.write_bytes(data)
    for problem in _outcome(lambda: config.load(file, environ={})):
        assert problem.startswith(str(file))


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="ab:- \n\t[]{}#&*!|>'\"%@`,?~$_01.<\\Uuxd\ufeff\x85\u2028é", max_size=80))
def test_any_yaml_like_text_is_a_configuration_or_a_mistake(text):
    """Text of YAML's own characters never raises anything but the named error, whose message can be printed."""
    for problem in _outcome(lambda: config.parse(text, name="f", environ={})):
        assert problem.encode()
        assert "\n" not in problem


def _refusal(path) -> str:
    with pytest.raises(config.InvalidConfigurationError) as caught:
        config.load(path, environ={})
    (problem,) = caught.value.problems
    return problem.removeprefix(f"{path}: ")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    """Pipes, devices and folders are named for what they are, without waiting for them."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert _refusal(pipe) == "is a pipe, not a regular file: name a file"
    assert _refusal(tmp_path) == "is a folder, not a regular file: name a file"
    assert _refusal(tmp_path / "none.yml") == "does not exist: check the path"
    device = tmp_path / "zero"
    device.symlink_to("/dev/zero")
    assert _refusal(device) == "is a device, not a regular file: name a file"


def test_a_link_to_a_regular_file_is_read(tmp_path):
    """Kubernetes mounts are links to links."""
    (tmp_path / "data.yml").write_text("log: {level: debug}\n")
    (tmp_path / "one.yml").symlink_to("data.yml")
    (tmp_path / "two.yml").symlink_to("one.yml")
    assert config.load(tmp_path / "two.yml").log.level == "debug"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"log:\n  level: \xff\n", "is not UTF-8 (byte 0xff on line 2): save it as UTF-8"),
        ("log: {}\n".encode("utf-16"), "is not UTF-8 (byte 0xff on line 1): save it as UTF-8"),
        (b"#" * (8 * MIB + 1), "is larger than 8192 KiB: make it smaller or name another file"),
    ],
    ids=["latin-1", "utf-16", "one byte too many"],
)
def test_bytes_that_are_no_configuration(tmp_path, data, sentence):
    """Another encoding or size is one sentence."""
    file = tmp_path / "file.yml"
    file.write_bytes(data)
    assert _refusal(file) == sentence


def test_a_byte_order_mark_is_skipped(tmp_path):
    """Editors on Windows write one."""
    file = tmp_path / "file.yml"
    file.write_bytes(b"\xef\xbb\xbflog: {level: debug}\r\n")
    assert config.load(file).log.level == "debug"


def test_an_unreadable_file_is_one_sentence(tmp_path):
    """A file without permission says so to a user who has none; the process below is one."""
    file = tmp_path / "file.yml"
    file.write_text("log: {}\n")
    file.chmod(0)
    program = (
        "import os, sys, pathlib\n"
        "from exporter import config\n"
        "import exporter.config.document, exporter.config.loading\n"
        "exporter.config.json_schema()\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: config.load(pathlib.Path(sys.argv[1]))\n"
        "except config.InvalidConfigurationError as error: print(error)\n"
    )
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    result = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout == f"{file}: may not be read by this user: change its owner or its mode\n", result.stderr
