"""coord.roles: the roles that a session may be spawned with."""

from __future__ import annotations

from hub.core import roles as core
from hub.desk import Asked, Desk
from hub.ops.registry import Operation
from protocol.ops.catalogue import ROLES
from protocol.ops.roles import RoleList
from protocol.ops.shapes import Nothing


async def roles(desk: Desk, _: Asked[Nothing]) -> RoleList:
    return RoleList(roles=[core.view(name, desk.roles[name]) for name in sorted(desk.roles)])


OPERATION = Operation(ROLES, roles)
