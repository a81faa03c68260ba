"""How each real agent is told, in its own person's settings, to speak to the scripted model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

KEYS = {"claude": "sk-ant-scripted", "codex": "sk-scripted", "gemini": "scripted"}


def environment(url: str, bin: Path, path: str) -> dict[str, str]:
    """What the person who runs the spoke would have in the environment."""
    return {
        "PATH": f"{bin}:{path}",
        "ANTHROPIC_API_KEY": KEYS["claude"],
        "ANTHROPIC_BASE_URL": url,
        "CLAUDE_CODE_MAX_RETRIES": "2",
        "IS_SANDBOX": "1",  # as root, it wants to hear that
        "GEMINI_API_KEY": KEYS["gemini"],
        "GEMINI_MODEL": "gemini-2.5-pro",
        "GOOGLE_GEMINI_BASE_URL": url,
        "OPENAI_API_KEY": KEYS["codex"],
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "npm_config_offline": "true",
    }


def write(home: Path, config: Path, url: str) -> None:
    """The settings files of codex, Gemini CLI and opencode."""
    _write(home / ".codex" / "config.toml", _codex(url))
    _write(home / ".gemini" / "settings.json", json.dumps(_GEMINI))
    _write(config / "opencode" / "opencode.json", json.dumps(_opencode(url)))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _codex(url: str) -> str:
    return f"""\
model = "gpt-5.5"
model_provider = "scripted"
features.plugins = false
[model_providers.scripted]
name = "Scripted"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 1
stream_max_retries = 2
"""


_GEMINI: Mapping[str, object] = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
}


def _opencode(url: str) -> Mapping[str, object]:
    model = {
        "limit": {"context": 200_000, "output": 8_000},
        "cost": {"input": 3, "output": 15},
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": "scripted"},
        "models": {"scripted": model},
    }
    return {
        "model": "scripted/scripted",
        "small_model": "scripted/scripted",
        "enabled_providers": ["scripted"],
        "autoupdate": False,
        "share": "disabled",
        "provider": {"scripted": provider},
    }
