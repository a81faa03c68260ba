"""opencode, which speaks the Agent Client Protocol by itself."""

from __future__ import annotations

from typing import Final

from spoke.agents.acp import Acp, Profile

PROFILE: Final = Profile(
    name="opencode",
    argv=("opencode", "acp"),
    env={
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_PROJECT_CONFIG": "1",  # the repository may be anybody's
    },
    passes=frozenset(
        {
            "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "OPENCODE_API_KEY",
            "OPENCODE_CONFIG", "OPENCODE_DISABLE_MODELS_FETCH", "OPENROUTER_API_KEY",
            "npm_config_offline",
        }
    ),
    asking_env={"OPENCODE_PERMISSION": '{"*":"ask"}'},
    after_denial="stops",
    model_env="OPENCODE_CONFIG_CONTENT",
    folds=True,
    resume="session/resume",
    before_first=("session", "list"),
)  # fmt: skip

AGENT: Final = Acp(PROFILE)
