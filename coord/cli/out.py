"""Answers on standard output: as a table, a wide table, JSON, or a line of JSON for each."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel, JsonValue

from coord.cli import terminal
from coord.cli.tables import Column, Paper, facts, table
from coord.context import wants_no_colour

M = TypeVar("M", bound=BaseModel)


class Format(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"


class Out:
    """Standard output in the chosen format. No colour and no cutting where it is not a terminal."""

    def __init__(self, format: Format) -> None:
        self.format = format
        self.interactive = sys.stdout.isatty()
        columns = shutil.get_terminal_size().columns if self.interactive else None
        self.paper = Paper(self.interactive and not wants_no_colour(), columns)

    @property
    def for_programs(self) -> bool:
        return self.format in (Format.JSON, Format.JSONL)

    def rows(
        self,
        items: Sequence[M],
        columns: Sequence[Column[M]],
        *,
        whole: BaseModel | None = None,
        empty: str = "",
    ) -> None:
        """A table of items. ``whole`` is the answer that they are part of, for `-o json`."""
        match self.format:
            case Format.JSON:
                self.value([plain(item) for item in items] if whole is None else plain(whole))
            case Format.JSONL:
                for item in items:
                    self.value(plain(item))
            case Format.TABLE | Format.WIDE if not items:
                self.text(f"{empty}\n" if empty else "")
            case Format.TABLE | Format.WIDE:
                wide = self.format is Format.WIDE
                chosen = [column for column in columns if wide or not column.wide]
                paper = Paper(self.paper.colour) if wide else self.paper
                self.text(table(items, chosen, paper))

    def facts(self, whole: BaseModel, pairs: Sequence[tuple[str, str]]) -> None:
        """One thing in full."""
        if self.for_programs:
            self.value(plain(whole))
        else:
            self.text(facts(pairs, self.paper))

    def value(self, value: JsonValue) -> None:
        indent = 2 if self.format is Format.JSON else None
        text = json.dumps(value, ensure_ascii=False, indent=indent)
        self.text(terminal.json_text(text) + "\n")

    def text(self, text: str) -> None:
        """Text that is safe already."""
        sys.stdout.write(text)
        sys.stdout.flush()


def plain(model: BaseModel) -> JsonValue:
    return model.model_dump(mode="json", by_alias=True)


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", default=Format.TABLE.value, metavar="FORMAT",
        choices=[format.value for format in Format], help="table (default), wide, json or jsonl",
    )  # fmt: skip


def out_of(args: argparse.Namespace) -> Out:
    return Out(Format(args.output))
