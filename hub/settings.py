"""What a hub is told at its start. Nothing else reads the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hub.core.leases import GRACE_SECONDS
from protocol.aio.dial import is_loopback
from protocol.errors import InvalidArgument
from protocol.limits import HEARTBEAT_SECONDS, LEASE_SECONDS


class HubSettings(BaseModel):
    """Each description is the manual of its setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str = Field(description="where Postgres is")
    host: str = Field("127.0.0.1", description="address of the call protocol")
    port: int = Field(7443, ge=0, le=65_535, description="its port; 0 chooses a free one")
    http_host: str = Field("127.0.0.1", description="address of the ops page")
    http_port: int = Field(7480, ge=0, le=65_535, description="its port; 0 chooses a free one")
    public_url: str | None = Field(None, description="how spokes and clients reach us, if not so")
    state: Path = Field(description="folder for what is not in the database")
    tls_cert: Path | None = Field(None, description="certificate chain, PEM")
    tls_key: Path | None = Field(None, description="its private key, PEM")
    roles: Path | None = Field(None, description="roles that sessions may be spawned in, TOML")
    behind_proxy: bool = Field(False, description="a proxy in front speaks TLS for us")
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    lease_seconds: float = LEASE_SECONDS
    lost_after_seconds: float = Field(3_600, description="out of reach for longer: lost")
    laptop_lost_after_seconds: float = Field(
        43_200, description="the same, on spokes with the label laptop=true"
    )
    fence_seconds: float = Field(
        120, description="without contact for longer, a replaceable agent ends itself"
    )
    fence_margin_seconds: float = Field(
        60, description="and after so much more it is started anew on another spoke"
    )
    grace_seconds: float = Field(
        GRACE_SECONDS, description="after a start or an outage, nobody is called out of reach"
    )
    events_days: int = Field(30, ge=1, description="how long ended sessions keep their events")
    orders_days: float = Field(1, gt=0, description="how long orders are kept that were told")
    start_ack_seconds: float = Field(
        60, description="a start order not taken by then is placed anew"
    )

    @model_validator(mode="after")
    def _whole_tls_or_none(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InvalidArgument(
                "BAD_TLS",
                "a certificate without its key is no TLS, nor a key without its certificate",
                advice="give both --tls-cert and --tls-key, or none",
            )
        return self

    @model_validator(mode="after")
    def _no_plain_text_off_this_machine(self) -> Self:
        open_to_all = not (is_loopback(self.host) and is_loopback(self.http_host))
        if open_to_all and not self.behind_proxy and (not self.tls_cert or not self.tls_key):
            raise InvalidArgument(
                "INSECURE_BIND",
                f"{self.host} can be reached from other machines, and there is no TLS",
                advice="give --tls-cert and --tls-key, or --behind-proxy if a proxy speaks TLS",
            )
        return self
