"""What a real Alertmanager sends is read without a loss."""

from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from servers.alertmanager import alertmanager, webhook

from exporter import alerts


@pytest.fixture
def bodies():
    """Serve a webhook on loopback; return its URL and the queue of the bodies that it took."""
    taken = queue.Queue()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *what):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", taken
        finally:
            server.shutdown()
            thread.join()


def test_an_alert_of_a_real_alertmanager_is_read(bodies, tmp_path):
    """Texts come as they were posted, the start to the microsecond, the fingerprint as Alertmanager has it."""
    url, taken = bodies
    labels = {"alertname": "UserSyncFailed", "user_id": "42", "where": 'Zürich "<&>" \\ 日本 😀'}
    with alertmanager(tmp_path, webhook(url)) as server:
        fired = {
            "labels": labels,
            "annotations": {"summary": "one\n\ttwo <&>"},
            "startsAt": "2020-11-26T11:59:30.123456789+01:00",
        }
        server.post({**fired, "generatorURL": "http://prometheus:9090/graph?g0.expr=up&g0.tab=1"})
        delivery = alerts.parse(taken.get(timeout=20), datetime.now(UTC).timestamp())
        [known] = server.alerts()
    [one] = delivery.alerts
    assert one == alerts.Alert(
        fingerprint=known["fingerprint"],
        status="firing",
        labels=labels,
        annotations={"summary": "one\n\ttwo <&>"},
        starts_at=pytest.approx(datetime(2020, 11, 26, 10, 59, 30, 123456, tzinfo=UTC).timestamp(), abs=1e-6),
        generator_url="http://prometheus:9090/graph?g0.expr=up&g0.tab=1",
    )
    assert (delivery.truncated, delivery.quarantined) == (0, ())
    assert delivery.receiver
    assert delivery.group_key
    assert delivery.external_url.startswith("http://")
