"""An attempt that may be started elsewhere ends itself where the hub has not heard of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from spoke.contact import Contact
from spoke.supervisor.fence import Fence, now_ms
from spoke.supervisor.tree import boot_id
from tests.support.supervised import Case, stop


async def test_an_attempt_without_contact_ends_itself(case: Case) -> None:
    contact = case.folder / "contact"
    contact.write_text(f"{boot_id()} {now_ms() + 10**9}")  # one of now, while it is there
    terms = {"path": str(contact), "ms": 1_000}
    await case.bash("trap '' INT TERM; echo up; setsid sleep 999 & sleep 999", fence=terms)
    await case.wait_said("up")
    contact.unlink()
    ending = await case.wait_exit()
    assert (ending["outcome"], ending["reason"], ending["endedBy"]) == (
        "aborted", "FENCED", "SIGKILL",
    )  # fmt: skip
    assert ending["survivors"] == 0


async def test_contact_keeps_an_attempt_alive(case: Case) -> None:
    path = case.folder / "contact"
    contact = Contact(path)
    line = await case.start("sleep", "999", fence={"path": str(path), "ms": 3_000})
    began = now_ms()
    while now_ms() - began < 5_000:
        contact.confirmed(contact.saying())
        assert (await line.status())["phase"] == "watching"
        await asyncio.sleep(0.5)
    stop(line, now=True)
    assert (await case.wait_exit())["reason"] == "asked by a test"


def test_what_counts_is_when_it_was_said(tmp_path: Path) -> None:
    contact = Contact(tmp_path / "contact")
    fence = Fence(str(tmp_path / "contact"), 60_000)
    early = contact.saying()
    late = contact.saying()
    contact.confirmed(late)
    written = (tmp_path / "contact").read_text()
    contact.confirmed(early)  # its confirmation was long on its way
    contact.confirmed(99)  # and this was never said
    assert (tmp_path / "contact").read_text() == written
    assert not fence.is_over()


def test_contact_counts_from_when_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from when the hub confirmed it, which may be much later."""
    clock = iter((10, 20, 30, 40))
    monkeypatch.setattr("spoke.contact.now_ms", lambda: next(clock))
    contact = Contact(tmp_path / "contact")
    contact.saying()
    contact.confirmed(contact.saying())
    assert (tmp_path / "contact").read_text().split()[1] == "20"


@pytest.mark.parametrize("text", ["", "x", "another-boot 999999999999", f"{boot_id()} x"])
def test_a_contact_that_says_nothing_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "contact").write_text(text)
    assert Fence(str(tmp_path / "contact"), -1).is_over()


def test_a_contact_in_the_future_is_one_of_now(tmp_path: Path) -> None:
    (tmp_path / "contact").write_text(f"{boot_id()} {now_ms() + 10**9}")
    assert Fence(str(tmp_path / "contact"), -1).is_over()
