"""How much is tried: a little beside all other tests, 100,000 examples by `make fuzz`."""

from __future__ import annotations

from typing import Final

from hypothesis import HealthCheck, settings

PROPERTIES: Final = 8  #: tests in this folder; a test counts them
EXAMPLES: Final = 100_000

settings.register_profile(
    "fuzz",
    max_examples=EXAMPLES // PROPERTIES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
