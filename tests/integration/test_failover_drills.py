"""What clients notice when something happens to a node: the drills of `./dev drill`, with short times.

Errors, lost writes and disconnected sessions are counted exactly. Times have room for a machine that does other things.
"""

import pytest

from harness import network
from harness.failover.drill import Pace, run
from harness.failover.events import EVENTS
from harness.waiting import SCALE

pytestmark = [pytest.mark.plain,
              pytest.mark.skipif(not network.available(), reason="needs root and iproute2, for network namespaces")]

PACE = Pace(before=0.5, after=0.3, factor=2.0, spare=2.0 * SCALE,
            monitor={"interval": "100ms", "timeout": f"{500 * SCALE:.0f}ms", "lag_interval": "10ms"})


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_clients_notice_no_more_than_they_must(event):
    report = run(event, PACE)
    assert not report.problems + report.missed, report
