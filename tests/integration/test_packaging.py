"""What is shipped: five packages and nothing else, complete, and cheap to import."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"coord", "hub", "spoke", "protocol", "sql"}


def _wheel(folder: Path) -> zipfile.ZipFile:
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT),
        ],
        check=True,
    )  # fmt: skip
    [wheel] = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


def test_the_wheel_holds_exactly_the_five_packages(tmp_path: Path) -> None:
    with _wheel(tmp_path) as wheel:
        names = set(wheel.namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert str(file.relative_to(ROOT)) in names, "templates and SQL included"


def test_importing_the_front_door_loads_no_server() -> None:
    heavy = ("asyncpg", "fastapi", "paramiko", "uvicorn", "cryptography", "hub", "spoke")
    script = f"import coord, sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
