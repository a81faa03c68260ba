"""What is done with is erased together; what cannot be erased holds up nothing beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from spoke.folder import Folder
from spoke.journal import Journal, Key
from spoke.settings import Places
from spoke.tidying import Tidier


async def test_one_that_stays_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    places.make()
    keys = [Key("s1", 1), Key("s2", 1), Key("s3", 1)]
    folders = {key: Folder(places, key) for key in keys}
    for folder in folders.values():
        folder.make()

    def stays() -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(folders[keys[1]], "remove", stays)
    with Journal(tmp_path / "journal") as journal:
        tidier = Tidier(journal)
        said = await asyncio.gather(
            *(tidier.forget(key, folder) for key, folder in folders.items()),
            return_exceptions=True,
        )
        assert [type(one) for one in said] == [type(None), OSError, type(None)]
        assert [folder.path.exists() for folder in folders.values()] == [False, True, False]
        await tidier.close()
    assert Journal(tmp_path / "journal").done == set(keys)
