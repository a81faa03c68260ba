"""Gemini CLI, which speaks the Agent Client Protocol by itself.

It names the files of a conversation by the minute, and removes one that is loaded in the minute of
its last start; what was said in a conversation is told again after it was opened. A prompt while it
works would end its turn, so that nothing is folded in. It hides the person's git configuration from
the commands that it runs: who commits has to be in the environment.
"""

from __future__ import annotations

from typing import Final

from spoke.agents.agent import AUTHOR, Kept, Signs
from spoke.agents.profile import Acp, Profile

PROFILE: Final = Profile(
    name="gemini",
    argv=("gemini", "--acp"),
    env={"GEMINI_CLI_NO_RELAUNCH": "true"},
    passes=frozenset(
        {
            "GEMINI_API_KEY", "GEMINI_MODEL", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_PROJECT", "GOOGLE_GEMINI_BASE_URL",
            "GOOGLE_GENAI_USE_VERTEXAI", *AUTHOR,
        }
    ),
    model_args=("--model",),
    folds=False,
    mode="default",  # it asks before each tool, and is answered; the workspace need not be trusted
    minute_apart=True,
    keeps=(Kept("", ".gemini"),),
    signs=Signs(
        frozenset({"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS"}),
        [(Kept("", ".gemini"), "oauth_creds.json")],
    ),
    needs_author=True,
)  # fmt: skip

AGENT: Final = Acp(PROFILE)
