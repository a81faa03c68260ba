"""Who may do what by which rule; and what a line of shell does not get past."""

from __future__ import annotations

import pytest

from protocol import permissions
from protocol.permissions import Layer, rule
from spoke.core.permitting import Request, decide
from spoke.core.shellwords import line_of


def layer(*rules: str, default: str = "ask", unanswered: str = "deny", ms: int = 1_000) -> Layer:
    said = {"rules": rules, "default": default, "answerWithinMs": ms, "unanswered": unanswered}
    (made,) = permissions.layers([said])
    return made


def told(layers: list[Layer], request: Request) -> tuple[object, ...]:
    """Decision and rule; of a question, the rest too."""
    verdict = decide(layers, request)
    return tuple(verdict) if verdict.decision == "ask" else verdict[:2]


def run(command: str) -> Request:
    return Request("run", "Bash", command)


def edit(*paths: str) -> Request:
    return Request("edit", "Write", paths[0] if paths else "", paths)


def said(request: Request, *rules: str, default: str = "ask") -> str:
    return decide([layer(*rules, default=default)], request).decision


@pytest.mark.parametrize("text", ["allow", "may run", "allow run(", "allow run()", "deny a b", ""])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rule"):
        rule(text)


@pytest.mark.parametrize("text", ["allow run(git *)", "deny *", "ask mcp__x__*", "deny run(a(b))"])
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert str(rule(text)) == text


def test_a_rule_has_its_bounds() -> None:
    with pytest.raises(ValueError, match="is no rule"):
        rule(f"allow run({'x' * permissions.MAX_CHARS})")


def test_the_first_rule_that_matches_decides_and_is_named() -> None:
    both = layer("deny run(rm *)", "allow run(*)")
    assert told([both], run("rm x")) == ("deny", "deny run(rm *)")
    assert told([both], run("ls x")) == ("allow", "allow run(*)")
    assert told([both], edit("a")) == ("ask", "default", 1_000, "deny")
    turned = layer("allow run(*)", "deny run(rm *)")
    assert told([turned], run("rm x")) == ("allow", "allow run(*)")
    assert told([], run("rm x")) == ("allow", "default")


def test_of_several_layers_the_strictest_decides() -> None:
    yes, no = layer(default="allow"), layer("deny run(rm *)", default="allow")
    ask = layer(default="ask", unanswered="allow", ms=5_000)
    for layers in ([yes, no], [no, yes], [no, ask], [ask, no]):
        assert told(layers, run("rm x")) == ("deny", "deny run(rm *)")
    assert told([yes, yes], run("rm x")) == ("allow", "default")
    for layers in ([yes, ask], [ask, yes]):
        assert told(layers, run("ls")) == ("ask", "default", 5_000, "allow")
    for layers in ([layer(), ask], [ask, layer()]):
        assert told(layers, run("ls")) == ("ask", "default", 1_000, "deny")


@pytest.mark.parametrize(
    ("name", "matches"),
    [("run", True), ("Bash", True), ("B*", True), ("*", True), ("bash", False), ("edit", False)],
)
def test_a_rule_names_a_kind_or_an_agents_own_tool(name: str, matches: bool) -> None:
    assert said(run("ls"), f"allow {name}") == ("allow" if matches else "ask")


@pytest.mark.parametrize(
    ("pattern", "command"),
    [
        ("git *", "git status"), ("git *", "git"), ("git *", "git commit -m 'a; b'"),
        ("git *", "git add . && git commit -m x"), ("git *", "git log 2>&1"),
        ("git *", "git log >/dev/null 2>&1; git status"), ("git *", "git show HEAD~1 | git x"),
        ("*", "anything at all"), ("[ -f x ]", "[ -f x ]"), ("git *", "git log \\\n -1"),
        ("echo $(date) > log", "echo $(date) > log"), ("git *", 'git commit -m "it\'s"'),
    ],
)  # fmt: skip
def test_a_command_is_allowed_where_each_part_of_it_is(pattern: str, command: str) -> None:
    assert said(run(command), f"allow run({pattern})") == "allow"


@pytest.mark.parametrize(
    "command",
    [
        "git status; rm -r x", "git status && rm x", "git status & rm x", "git log | sh",
        "git status\nrm x", "git status || rm x", "(rm x)", "rm x; git status", "git $(rm x)",
        'git "$(rm x)"', "git `rm x`", 'git "`rm x`"', "git <(rm x)", "git log > ~/.bashrc",
        "git log >> x", "git < x", "git log &> x", "PATH=x git status", "git $'\\'' ; rm x #'",
        "git x # '\nrm x '", "git status\n >/dev/null rm x", "gitx", "git 'x", "",
        "git x >/dev/nul", "if git x; then rm y; fi", "git log >/dev/null/../../etc/x",
    ],
)  # fmt: skip
def test_a_command_that_hides_another_is_not_allowed(command: str) -> None:
    assert said(run(command), "allow run(git *)") == "ask"


@pytest.mark.parametrize(
    "command",
    [
        "rm x", "rm", "ls; rm x", "ls && rm x", "ls\nrm x", "$(rm x)", "(rm x)", "X=1 rm x",
        "! rm x", "{ rm x; }", "if a; then rm x; fi", "sudo rm x", "X='a b' Y=2 rm x", "a|rm x",
    ],
)  # fmt: skip
def test_a_command_is_denied_where_any_part_of_it_is(command: str) -> None:
    assert said(run(command), "deny run(rm *)", default="allow") == "deny"


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("docs/**", "docs/a/b.md", True), ("docs/**", "docs", True), ("docs/*", "docs/a/b", False),
        ("docs/*", "docs/a", True), ("**", "a/b", True), ("**", "/etc/passwd", False),
        ("/etc/**", "/etc/passwd", True), ("/**", "/x/y", True), ("/**", "x/y", False),
        ("**/x.py", "x.py", True), ("**/x.py", "a/b/x.py", True), ("*.py", "a/x.py", False),
        ("a/**/b/**/c", "a/1/b/2/3/c", True), ("a/**/b", "a/b/c", False), ("?", "ab", False),
    ],
)  # fmt: skip
def test_paths_fit_patterns(pattern: str, path: str, fits: bool) -> None:
    assert said(edit(path), f"allow edit({pattern})") == ("allow" if fits else "ask")
    assert said(edit(path), f"deny edit({pattern})") == ("deny" if fits else "ask")


def test_each_path_has_to_be_allowed_and_one_is_enough_to_deny() -> None:
    assert said(edit("docs/a", "src/b"), "allow edit(docs/**)") == "ask"
    assert said(edit("docs/a", "docs/b"), "allow edit(docs/**)") == "allow"
    assert said(edit("docs/a", "src/b"), "deny edit(src/**)") == "deny"


def test_where_no_path_is_known_nobody_is_allowed_by_it() -> None:
    assert said(edit(), "allow edit(docs/**)") == "ask"
    assert said(edit(), "deny edit(docs/**)") == "deny"


def test_what_is_fetched_is_matched_as_it_is() -> None:
    page = Request("fetch", "WebFetch", "https://example.org/a")
    assert said(page, "allow fetch(https://example.org/*)") == "allow"
    assert said(page, "allow fetch(https://example.com/*)") == "ask"


def test_a_long_path_under_many_wildcards_is_looked_at_once() -> None:
    pattern, path = "/".join(["**", "a"] * 100), "/".join("a" * 400)
    assert said(edit(f"{path}/b"), f"allow edit({pattern[:400]})") == "ask"


def test_a_line_of_shell_is_told_apart() -> None:
    assert line_of("a b; c 'd;e' | f") == (("a b", "c 'd;e'", "f"), True)
    assert line_of("a 'b") == (("a 'b",), False)
