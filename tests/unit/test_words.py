"""Names and URLs that may reach git, and those that may not (SECURITY G1-G4)."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvalidArgument
from protocol.words import (
    branch_for,
    check_base,
    check_branch,
    check_id,
    check_repo,
    repo_slug,
    slug,
)


@pytest.mark.parametrize(
    "url",
    [
        "https://host/owner/repo",
        "https://host:8443/owner/repo.git",
        "https://host/~user/repo",
        "ssh://git@host/owner/repo.git",
        "ssh://git@host:2222/owner/repo.git",
        "ssh://host/repo",
        "git@host:owner/repo.git",
        "git@host:/srv/repo.git",
        "https://[::1]/repo",
    ],
)
def test_repos_that_pass(url: str) -> None:
    assert check_repo(url, allow_local=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ext::sh -c touch% /tmp/x",
        "fd::3",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ssh://-oProxyCommand=x/repo",
        "git@-oProxyCommand=x:repo",
        "git@host:-x",
        "ssh://host/-x",
        "file:///etc",
        "http::http://host/repo",
        "http://host/repo",
        "git://host/repo",
        "https://host/\nhost=x",
        "https://host/repo\n",
        "https://user:pass@host/repo",
        "https://token@host/repo",
        "ssh://user:pass@host/repo",
        "https://host/a/../../b",
        "https://host",
        "https:///repo",
        "https://h\u00f6st/repo",
        "https://host/" + "a" * 3000,
        "host:repo",
        "relative/path",
        "../up",
        ".",
        "/srv/repo",
    ],
)
def test_repos_that_do_not(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_repo(url, allow_local=False)
    assert caught.value.reason == "BAD_REPO_URL"
    assert "pass" not in caught.value.message
    assert "token" not in caught.value.message


def test_local_paths_where_allowed() -> None:
    assert check_repo("/srv/my repo", allow_local=True) == "/srv/my repo"
    for bad in ("/", "/srv/../etc", "/srv/./x", "/srv/a\nb", "/srv/\x00", "/srv/\x1b[0m", "//"):
        with pytest.raises(InvalidArgument):
            check_repo(bad, allow_local=True)


BAD_REFS = [
    "",
    "-x",
    "--lock",
    "a b",
    "x..y",
    "HEAD",
    "a/HEAD",
    "@",
    "@{-1}",
    "a@{1}",
    "a.lock",
    "a.lock/b",
    "refs/heads/x",
    "a\nb",
    "a\n",
    "a\x1b",
    "a\udcff",
    "e\u0301",
    "\u00e9",
    "a" * 300,
    "a//b",
    "/a",
    "a/",
    "a/.b",
    "a/-b",
    ".a",
    "a.",
    "a./b",
    "a:b",
    "HEAD:path",
    "a~1",
    "a^",
    "a?b",
    "a*",
    "a[b",
    "a\\b",
    "$(x)",
    "--output=/x",
]


@pytest.mark.parametrize("name", BAD_REFS)
def test_refs_that_do_not_pass(name: str) -> None:
    for check in (check_branch, check_base):
        with pytest.raises(InvalidArgument) as caught:
            check(name)
        assert caught.value.reason == "BAD_REF"
        assert str(caught.value).isprintable()
        assert str(caught.value).isascii()


def test_a_commit_id_is_a_base_and_no_branch() -> None:
    assert check_base("a" * 40) == "a" * 40
    with pytest.raises(InvalidArgument):
        check_branch("a" * 40)


@given(st.text(alphabet="ab1._/-@{}~^: HEADlock", max_size=30))
def test_what_passes_is_what_git_takes(name: str) -> None:
    try:
        check_branch(name)
    except InvalidArgument:
        return
    assert not name.startswith(("-", "."))
    assert ".." not in name
    assert not name.endswith((".lock", "/", "."))


def test_git_agrees_with_what_passes() -> None:
    for name in ("a", "coord/x-1", "A_b.c/d-e", "main/sub", "v1.2"):
        assert subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"]).returncode == 0
        assert check_branch(name) == name


@pytest.mark.parametrize("name", ["..", "/abs", "a/../../b", "a" * 256, "a\0", "", "-x", ".x"])
def test_ids_that_do_not_pass(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_id(name)


@given(st.text(max_size=100))
def test_slugs_are_file_and_ref_names(text: str) -> None:
    made = slug(text)
    assert check_id(made) == made
    assert len(made) <= 40


@given(st.text(max_size=100))
def test_branches_made_for_any_task_pass(task: str) -> None:
    assert check_branch(branch_for(task, "ses_abcdefghij234567"))


def test_branches_differ_by_session() -> None:
    one, two = branch_for("Fix it!", "ses_abcd"), branch_for("Fix it!", "ses_efgh")
    assert one == "coord/fix-it-abcd"
    assert one != two


def test_repo_slugs_tell_repositories_apart() -> None:
    one, two = repo_slug("https://a/x/repo.git"), repo_slug("git@b:x/repo.git")
    assert one.startswith("repo-")
    assert one != two
    assert check_id(one)
