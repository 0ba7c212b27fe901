"""Alerts and silences are posted to a real Alertmanager, which takes them as they were meant."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from actions.settings import ITEM, configured, mistakes, parts
from servers.alertmanager import alertmanager_pair
from servers.badhttp import answer, serving
from servers.programs import until

from exporter.actions import alertmanager as kind
from exporter.model import Done, GiveUp, Item, Outcome, Retry

if TYPE_CHECKING:
    from servers.alertmanager import Alertmanager

ALERT = {"kind": "alertmanager", "post": "alert", "labels": {"alertname": "UserSyncFailed", "user": "{key}"}}
SILENCE = {"kind": "alertmanager", "post": "silence", "matchers": {"user": "{key}", "alertname": "{alertname}"}}


async def act(url: str, action: dict[str, Any], *, item: Item = ITEM, timeout: float = 10.0, **where: Any) -> Outcome:
    """Post what an action configures."""
    made = configured(action, alertmanager={"url": url, **where})
    return await kind.act(made.queues["q"].action.options, item, parts(alertmanager=made.alertmanager), timeout)


def seconds(earlier: str, later: str) -> float:
    """Return the seconds between two times of Alertmanager."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


async def test_an_alert_is_posted(alertmanager: Alertmanager) -> None:
    """It ends by itself; a further attempt does not make a second one."""
    item = replace(ITEM, key="an alert")
    keys = {"annotations": {"summary": "{reason}", "text": "fixed"}, "resolve_after": "10m"}
    for _ in range(2):
        assert await act(alertmanager.url, ALERT | keys, item=item) == Done("Alertmanager took the alert")
    [found] = [one for one in alertmanager.alerts() if one["labels"].get("user") == "an alert"]
    assert found["labels"] == {"alertname": "UserSyncFailed", "user": "an alert"}
    assert found["annotations"] == {"summary": "the alert fires", "text": "fixed"}
    assert 590 <= seconds(found["updatedAt"], found["endsAt"]) <= 610


async def test_a_silence_is_posted(alertmanager: Alertmanager) -> None:
    """It silences what it names and nothing else."""
    item = replace(ITEM, key="a silence")
    alertmanager.fire(alertname="UserSyncFailed", user="a silence")
    alertmanager.fire(alertname="UserSyncFailed", user="another")
    outcome = await act(alertmanager.url, SILENCE | {"duration": "2h", "comment": "is being mended"}, item=item)
    [found] = alertmanager.silences()
    assert isinstance(outcome, Done)
    assert outcome.detail == f"Alertmanager took the silence {found['id']} for 7200 s"
    assert (found["createdBy"], found["comment"]) == ("watchbridge", "is being mended")
    assert seconds(found["startsAt"], found["endsAt"]) == pytest.approx(7200, abs=10)
    assert {(one["name"], one["value"], one["isRegex"], one["isEqual"]) for one in found["matchers"]} == {
        ("user", "a silence", False, True),
        ("alertname", "UserSyncFailed", False, True),
    }
    states = {
        one["labels"]["user"]: one["status"]["state"]
        for one in until(lambda: _settled(alertmanager), 10, "the state of the alerts")
    }
    assert states == {"a silence": "suppressed", "another": "active"}


def _settled(alertmanager: Alertmanager) -> list[dict[str, Any]]:
    found = [one for one in alertmanager.alerts() if one["labels"].get("user") in {"a silence", "another"}]
    return found if all(one["status"]["state"] != "unprocessed" for one in found) else []


HOSTILE = ['x",a="y', "a\nb", "${x}", "{{ .Labels }}", "é💥", "\ud800", ".*"]


@pytest.mark.parametrize("value", HOSTILE, ids=[f"{value!r}" for value in HOSTILE])
async def test_a_hostile_value_is_one_value(alertmanager: Alertmanager, value: str) -> None:
    """No part of it becomes a label, a pattern or a template."""
    outcome = await act(alertmanager.url, ALERT, item=replace(ITEM, key=value))
    assert isinstance(outcome, Done)
    users = [one["labels"].get("user") for one in alertmanager.alerts()]
    assert value.replace("\ud800", "\ufffd") in users


async def test_both_of_a_pair_hear_of_a_silence() -> None:
    """It is posted to one of them."""
    with alertmanager_pair() as (first, second):
        assert isinstance(await act(first.url, SILENCE), Done)
        [found] = until(second.silences, 15, "the silence at the other one")
        assert found["createdBy"] == "watchbridge"


async def test_what_alertmanager_refuses_is_given_up(alertmanager: Alertmanager) -> None:
    """Its sentence is the output."""
    made = configured(ALERT, alertmanager={"url": alertmanager.url})
    broken = replace(made.queues["q"].action.options, labels={"alertname": "x", "0-no-label": "x"})
    outcome = await kind.act(broken, ITEM, parts(alertmanager=made.alertmanager), 10.0)
    assert isinstance(outcome, GiveUp)
    assert "answered 400 Bad Request" in outcome.detail
    assert "0-no-label" in outcome.output


async def test_an_alertmanager_that_is_away_is_another_attempt() -> None:
    outcome = await act("http://127.0.0.1:9/", ALERT)
    assert outcome == Retry("http://127.0.0.1:9/… could not be reached (connection refused)")


ANSWERS = [
    pytest.param(b'{"silenceID": "no id \\u001b"}', id="no id"),
    pytest.param(b'["silenceID"]', id="a list"),
    pytest.param(b"[" * 60_000, id="deep"),
    pytest.param(b"all fine", id="no JSON"),
]


@pytest.mark.parametrize("body", ANSWERS)
async def test_an_odd_answer_does_no_harm(body: bytes) -> None:
    async with serving() as bad:
        bad.extra["/api/v2/silences"] = answer(body)
        outcome = await act(bad.url(""), SILENCE)
    assert isinstance(outcome, Done)
    assert outcome.detail == "Alertmanager took the silence for 3600 s"


async def test_credentials_and_the_path_of_the_url_are_sent() -> None:
    """Behind a reverse proxy it has both."""
    async with serving() as bad:
        for path in ("/am/api/v2/alerts", "/api/v2/alerts"):
            bad.extra[path] = answer(b"")
        basic = {"username": "me", "password": "pw"}
        assert isinstance(await act(bad.url("/am/"), ALERT, basic_auth=basic), Done)
        assert isinstance(await act(bad.url(""), ALERT, api_token="canary-5ecret"), Done)
        first, second = bad.requests
    assert first.startswith(b"POST /am/api/v2/alerts HTTP/1.1\r\n")
    assert b"Authorization: Basic " + base64.b64encode(b"me:pw") in first
    assert b"Authorization: Bearer canary-5ecret" in second


async def test_the_shorter_of_two_deadlines_holds() -> None:
    """That of the section, and that of the action."""
    async with serving() as bad:
        late = await act(bad.url("/silent"), ALERT, timeout=0.2)
        slow = await act_within(bad.url("/silent"), "300ms")
    assert isinstance(late, Retry)
    assert late.detail.endswith("did not answer within 0.2 s")
    assert isinstance(slow, Retry)
    assert slow.detail.endswith("did not answer within 0.3 s")


async def act_within(url: str, timeout: str) -> Outcome:
    """Post an alert with the deadline of the section `alertmanager`."""
    made = configured(ALERT, alertmanager={"url": url, "timeout": timeout})
    return await kind.act(made.queues["q"].action.options, ITEM, parts(alertmanager=made.alertmanager), 10.0)


async def test_nothing_is_posted_where_a_value_is_missing_or_the_address_is_not_permitted() -> None:
    async with serving() as bad:
        assert await act(bad.url(""), ALERT, item=replace(ITEM, key="")) == GiveUp(
            "there is no 'key' to put into '{key}'"
        )
        made = configured(ALERT, alertmanager={"url": bad.url("")})
        action, given = made.queues["q"].action.options, parts(alertmanager=made.alertmanager, permits=lambda _: False)
        assert isinstance(await kind.act(action, ITEM, given, 10.0), GiveUp)
        assert isinstance(await kind.act(action, ITEM, parts(), 10.0), GiveUp)
        assert bad.connections == 0


def test_the_plan_is_what_is_posted() -> None:
    """But for the times: it is the same whenever it is asked for."""
    where = {"url": "http://alertmanager:9093"}
    alert = kind.plan(configured(ALERT, alertmanager=where).queues["q"].action.options, ITEM)
    assert alert.sentence == 'post the alert {alertname="UserSyncFailed", user="4711"} to Alertmanager'
    assert alert.details == {
        "post": "alert",
        "labels": {"alertname": "UserSyncFailed", "user": "4711"},
        "annotations": {},
        "resolve_after": 300.0,
    }
    silence = kind.plan(configured(SILENCE, alertmanager=where).queues["q"].action.options, ITEM)
    assert silence.sentence == 'silence {user="4711", alertname="UserSyncFailed"} in Alertmanager for 3600 s'
    assert silence.details["matchers"] == {"user": "4711", "alertname": "UserSyncFailed"}


WRONG = [
    pytest.param({"post": "alert", "labels": {"a": "b"}}, "labels: an alert has a name: add `alertname`", id="name"),
    pytest.param({"post": "alert"}, ": an alert has a name: add `alertname` to `labels`", id="no labels"),
    pytest.param({"post": "silence"}, ": a silence without matchers would silence everything", id="no matchers"),
    pytest.param({**ALERT, "matchers": {"a": "b"}}, "matchers: has no meaning with `post: alert`", id="matchers"),
    pytest.param({**SILENCE, "labels": {"a": "b"}}, "labels: has no meaning with `post: silence`", id="labels"),
    pytest.param({**SILENCE, "annotations": {"a": "b"}}, "annotations: has no meaning with", id="annotations"),
    pytest.param(
        {**ALERT, "labels": {"alertname": "x", "a-b": "c"}}, "labels.a-b: this is no name of a label", id="label's name"
    ),
    pytest.param(
        {**ALERT, "labels": {"alertname": "x", "{key}": "c"}}, "labels.'{key}': this is no name of a label", id="a name"
    ),
    pytest.param({**ALERT, "labels": {"alertname": ""}}, "labels.alertname: an empty value is as none", id="empty"),
    pytest.param(
        {**ALERT, "annotations": {"summary": "user {key}"}}, "annotations.summary: '{key}' stands within", id="part"
    ),
    pytest.param({**SILENCE, "matchers": {"user": "x{key}"}}, "matchers.user: '{key}' stands within", id="matcher"),
    pytest.param({**SILENCE, "comment": "{key}"}, "comment: '{key}' would not be filled in here", id="comment"),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG)
def test_a_mistake_in_the_configuration_has_its_sentence(keys: dict[str, Any], sentence: str) -> None:
    [told] = mistakes({"kind": "alertmanager", **keys}, alertmanager={"url": "http://alertmanager:9093"})
    assert told.startswith(sentence)


PLACES = [
    pytest.param({}, "needs to know where Alertmanager is: set `alertmanager: {url:", id="none"),
    pytest.param({"url": "http://0xa9fea9fe"}, "`alertmanager.url` cannot be asked: the URL's host is", id="B10"),
]


@pytest.mark.parametrize(("where", "sentence"), PLACES)
def test_alertmanager_must_be_somewhere(where: dict[str, Any], sentence: str) -> None:
    [told] = mistakes(ALERT, alertmanager=where)
    assert sentence in told
