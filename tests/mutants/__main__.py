"""Apply each mutant to a copy of the packages and see which test catches it.

    python -m tests.mutants [part of a name or of a file ...]

Prints one line for each and exits with 1 if any survives, or if the tests fail without one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("coord", "hub", "spoke", "protocol", "sql", "tests", "pyproject.toml")
AT_ONCE: Final = 2
PURE: Final = ("tests/unit/", "tests/model/")
TEST_SECONDS: Final = 30  # for one test: whoever makes it hang is caught, and the test is named
PATIENCE: Final = 180.0  # seconds for one run of all its tests
HEALTHY_PATIENCE: Final = 1_200.0  # for all their tests in one run, without a mutant

_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_ASSERTED: Final = re.compile(
    r"^E\s+(?:AssertionError: |Failed: )?(?:assert )?(\S.*)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``by`` names the test that caught it; None where none did."""

    by: str | None
    why: str = ""


def copy_to(room: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, room / name, ignore=ignored)
        else:
            shutil.copy2(source, room / name)


def mutate(room: Path, mutant: Mutant) -> None:
    file = room / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its line occurs {text.count(mutant.old)} times")
    file.write_text(text.replace(mutant.old, mutant.new))


def run_tests(room: Path, tests: tuple[str, ...], patience: float = PATIENCE) -> Verdict:
    # The copy is the working directory and comes first on the path, before the editable install.
    environ = {**os.environ, "PYTHONPATH": str(room), "COORD_MUTANT": "1"}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    # A folder of its own: pytest would tidy up what all other runs on this machine have left.
    argv += [f"--timeout={TEST_SECONDS}", f"--basetemp={room / 'temporary'}", *tests]
    if all(test.startswith(PURE) for test in tests):
        argv.append("--noconftest")  # the fixtures there want a hub and a database
    try:
        ran = subprocess.run(
            argv, cwd=room, env=environ, capture_output=True, text=True, timeout=patience
        )
    except subprocess.TimeoutExpired:
        return Verdict("(no test: it hung)")
    if ran.returncode == 0:
        return Verdict(None)
    failed, asserted = _FAILED.search(ran.stdout), _ASSERTED.search(ran.stdout)
    if failed is None:
        raise SystemExit(f"pytest could not run:\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}")
    return Verdict(failed[1].removeprefix("tests/"), asserted[1] if asserted else "")


def try_out(mutant: Mutant) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="mutant-") as room:
        copy_to(Path(room))
        mutate(Path(room), mutant)
        return run_tests(Path(room), mutant.tests)


def prove_healthy(chosen: list[Mutant]) -> None:
    """The tests pass without a mutant, and they test the copy."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as room:
        copy_to(Path(room))
        for package in {mutant.file.split("/")[0] for mutant in chosen}:
            code = f"import {package}; print({package}.__file__)"
            where = subprocess.run(
                [sys.executable, "-c", code],
                cwd=room, env={**os.environ, "PYTHONPATH": room}, capture_output=True, text=True,
            )  # fmt: skip
            if not where.stdout.startswith(str(Path(room))):
                raise SystemExit(f"the copy is not what is tested: {where.stdout}{where.stderr}")
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        verdict = run_tests(Path(room), tuple(tests), HEALTHY_PATIENCE)
        if verdict.by is not None:
            raise SystemExit(f"without a mutant, {verdict.by} fails: {verdict.why}")


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(word in (m.name + m.file) for word in words)]
    began, survivors = time.monotonic(), 0
    width = max(len(mutant.name) for mutant in chosen)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        healthy = pool.submit(prove_healthy, chosen)
        for mutant, verdict in zip(chosen, pool.map(try_out, chosen), strict=True):
            survivors += verdict.by is None
            said = f"{verdict.by}  {verdict.why[:70]}" if verdict.by else "SURVIVED"
            print(f"{mutant.name:{width}}  {said}", flush=True)
        healthy.result()
    took = time.monotonic() - began
    print(f"{len(chosen)} mutants, {survivors} survived, {took:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
