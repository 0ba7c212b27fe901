"""A command is an argument list where a shell would make the same of it, and is left to a shell elsewhere."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.process_monitor.shell import argv


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("curl -f http://localhost/health", ("curl", "-f", "http://localhost/health")),
        ("mysqladmin ping", ("mysqladmin", "ping")),
        ("/opt/custom_app/restart.sh", ("/opt/custom_app/restart.sh",)),
        ('echo "Preparing Apache restart"', ("echo", "Preparing Apache restart")),
        ("echo 'a | b > $c `d` ; e & f'", ("echo", "a | b > $c `d` ; e & f")),
        ('echo "a | b ; c & (d) * ~ #"', ("echo", "a | b ; c & (d) * ~ #")),
        (r"echo a\ b \| \$c", ("echo", "a b", "|", "$c")),
        (r'echo "a \"b\" \\ \n"', ("echo", r'a "b" \ \n')),
        ("echo '' \"\"", ("echo", "", "")),
        ("a --b=c d=e", ("a", "--b=c", "d=e")),
        ("a  b\tc", ("a", "b", "c")),
        ("date +%H:%M", ("date", "+%H:%M")),
        ("a b#c", ("a", "b#c")),
        ("/opt/a/'b c'/d", ("/opt/a/b c/d",)),
        ("sudo systemctl restart nginx", ("sudo", "systemctl", "restart", "nginx")),
        ("test -f /run/a.pid", ("test", "-f", "/run/a.pid")),
        ("kill -HUP 1234", ("kill", "-HUP", "1234")),
    ],
)
def test_a_plain_command_is_an_argument_list(text, words):
    assert argv(text) == words


@pytest.mark.parametrize(
    "text",
    [
        'echo "Preparing Apache restart" | logger',
        "a > b",
        "a < b",
        "a; b",
        "a && b",
        "a || b",
        "a &",
        "a 2>&1",
        "a $b",
        'a "$b"',
        r'a "\$b"',
        "a `b`",
        'a "`b`"',
        "a *.log",
        "a b?",
        "a [bc]",
        "a {b,c}",
        "a ~/b",
        "(a)",
        "{ a; }",
        "[ -f b ]",
        "[[ -f b ]]",
        "! a",
        "A=b c",
        "A+=b",
        "a # b",
        "# a",
        "a\nb",
        "a 'b\nc'",
        "a 'b",
        'a "b',
        "a \\",
        "cd /opt",
        "'cd' /opt",
        ". /etc/profile",
        "source b",
        "export A",
        "exec a",
        "if a",
        "'' a",
        "",
        "a " + "b " * 1000,
        "a" * 40_000,
    ],
)
def test_what_only_a_shell_understands_is_left_to_one(text):
    assert argv(text) is None


PIECES = st.sampled_from(["'", '"', "\\", " ", "\t", "a", "-f", "=", "%", ",", "é", "^", "@", "$", "#", "*", "|", "!"])


@settings(deadline=None, max_examples=120)
@given(text=st.lists(PIECES, max_size=12).map("".join))
@example(text=r'"\a\\\"" \'\\ "x"y\z')
def test_bash_makes_the_same_words_of_it(text):
    """What is called plain is split as the real shell splits it."""
    words = argv(f"a {text}")
    if words is not None:
        done = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' a {text}"], capture_output=True, check=True, timeout=30, encoding="utf-8"
        )
        assert tuple(done.stdout.split("\0")[:-1]) == words
