"""Servers that are silent, slow, endless or lie: a download ends in time, in one line, and believes none."""

import gzip
import re
from pathlib import Path

import pytest

from crlb.bosz.download import HOLES, LOCK
from crlb.bosz.names import make_node
from crlb.cli.bosz import Download
from crlb.errors import run_cli
from tests.hostile.servers import (
    OK,
    PACKED,
    PLAIN,
    dropping,
    endless,
    head,
    honest,
    redirect,
    reset,
    rest,
    said,
    serving,
    silent,
    trickled,
    whole,
)

LABELS = {"T_eff": 5000.0, "log_g": 2.0}
NODES = {PACKED: make_node(2024, LABELS, 5000), PLAIN: make_node(2017, LABELS, 5000)}
N, M = len(PACKED), len(PLAIN)
BOMB = gzip.compress(bytes(400 * 2**20), 9)
CHUNKED = "Transfer-Encoding: chunked"
EMPTY = "HTTP/1.1 302 Found"
MORE = "sends more bytes than any spectrum"
# what the server does: (its answer, exit code, what is said)
PACKED_KINDS = {
    "silent": (silent(), 75, "nothing came for 0.3 s"),
    "silent after the headers": (silent(OK, f"Content-Length: {N}"), 75, "lost: nothing came for 0.3 s"),
    "trickled content": (
        trickled(PACKED, OK, f"Content-Length: {N}"),
        75,
        "less than 1000 bytes/s came over 0.3 s",
    ),
    "trickled headers": (trickled(head(OK, *(["A: b"] * 500))), 75, "no answer: less than .* over 0.3 s"),
    "endless content": (endless(b"0", OK), 66, "more than 2,548,576 bytes, which no spectrum"),
    "too many headers": (
        endless(head(OK)[:-2] + b"A: b\r\n" * 200),
        75,
        "no answer: Receive buffer too long",
    ),
    "a header without an end": (endless(b"A"), 75, "no answer: Receive buffer too long"),
    "a status that goes on": (
        endless(head("HTTP/1.1 100 Continue")),
        66,
        MORE,
    ),
    "too few announced": (said(OK, "Content-Length: 1000", body=PACKED), 75, "truncated or damaged"),
    "too many announced": (
        said(OK, "Content-Length: 99999", body=PACKED),
        75,
        f"received {N} bytes, expected 99999",
    ),
    "a negative length": (said(OK, "Content-Length: -5", body=PACKED), 75, "Content-Length"),
    "a length in words": (
        said(OK, "Content-Length: 1_000", body=PACKED),
        75,
        "no answer: bad Content-Length",
    ),
    "a length too large": (whole(PACKED[:0], "Content-Length: 7"), 75, "conflicting Content-Length headers"),
    "a huge length": (said(OK, "Content-Length: 999999999999"), 66, "it has more than 2,548,576 bytes"),
    "a length beyond all": (said(OK, f"Content-Length: {'9' * 5000}"), 75, "Content-Length"),
    "a redirect for ever": (redirect("/again"), 66, "redirects more than 5 times"),
    "a redirect to a file": (
        redirect("file:///etc/passwd"),
        66,
        "'file:///etc/passwd', which is not",
    ),
    "a redirect to ftp": (redirect("ftp://127.0.0.1/x"), 66, "'ftp://127.0.0.1/x', which is not followed"),
    "a redirect to a script": (redirect("javascript:alert(1)"), 66, "which is not followed"),
    "a redirect to data": (redirect("data:,x", 308), 66, "which is not followed"),
    "a redirect to nowhere": (said(EMPTY), 66, "redirects to '', which is not followed"),
    "a redirect to no address": (redirect("http://[bad"), 66, "which is no address"),
    "a redirect to no port": (redirect("http://127.0.0.1:x/"), 66, "which is no address"),
    "a redirect beyond ports": (redirect("http://127.0.0.1:99999999/"), 66, "which is no address"),
    "a redirect to a long name": (redirect(f"http://{'a' * 300}/"), 66, "no usable address"),
    "a redirect with content": (endless(b"0", EMPTY, "Location: file:///x"), 66, "which is not followed"),
    "another protocol": (said("SSH-2.0-OpenSSH_9.6"), 75, "no answer: illegal status line"),
    "noise": (endless(bytes(range(256))), 75, "no answer"),
    "nothing at all": (said(), 75, "no answer|truncated or damaged"),
    "a reset": (reset(PACKED), 75, "connection lost: Connection reset by peer"),
    "forbidden": (said("HTTP/1.1 403 Forbidden \x1b[31m"), 66, "answers 403 Forbidden"),
    "no content": (said("HTTP/1.1 204 No Content"), 66, "answers 204 No Content"),
    "a status of its own": (said("HTTP/1.1 999 Ha"), 66, "answers 999 Ha"),
    "trouble for ever": (said("HTTP/1.1 500 Oops"), 75, "answers 500 Oops"),
    "a part unasked for": (rest(PACKED, f"bytes {N // 2}-{N - 1}/{N}"), 75, "the file changed on the server"),
    "a page": (whole(b"<html>log in</html>"), 75, "truncated or damaged: Not a gzipped file"),
    "a bomb": (whole(BOMB), 75, "no spectrum is packed so well"),
    "damaged chunks": (
        said(OK, CHUNKED, body=b"10\r\nabc\r\nzz\r\n"),
        75,
        "connection lost: peer closed connection",
    ),
    "chunks of negative size": (said(OK, CHUNKED, body=b"-5\r\nabc"), 75, "lost|truncated"),
    "chunks that break off": (
        said(OK, CHUNKED, body=b"100000\r\nabc"),
        75,
        "lost: peer closed connection .*incomplete chunked read",
    ),
    "endless trailers": (
        endless(b"0\r\nA: b\r\n", OK, CHUNKED),
        75,
        "connection lost: Receive buffer too long",
    ),
}
CONTINUED = {
    "from elsewhere": (rest(PACKED, f"bytes 7-{N - 1}/{N}"), "changed"),
    "of another size": (rest(PACKED, f"bytes {N // 2}-{N}/{N + 1}"), "changed"),
    "with an end beyond": (rest(PACKED, f"bytes {N // 2}-{N + 7}/{N}"), "changed"),
    "with a range of words": (rest(PACKED, "bytes all/of it"), "changed"),
    "of no known size": (rest(PACKED, f"bytes {N // 2}-{N - 1}/*"), "changed"),
    "of another file": (rest(PACKED, f"bytes {N // 2}-{N - 1}/{N}", 'ETag: "v2"'), "changed"),
    "of other bytes": (rest(bytes(N), f"bytes {N // 2}-{N - 1}/{N}"), "truncated or damaged"),
    "never": (said("HTTP/1.1 416 No"), "answers 416 No"),
}
PLAIN_KINDS = {
    "cut by whole blocks": (said(OK, f"Content-Length: {M - 2880}", body=PLAIN), "FITS|truncated or damaged"),
    "packed on the way": (whole(gzip.compress(PLAIN), "Content-Encoding: gzip"), "no FITS file"),
}


def run(
    server, folder: Path, content: bytes, capsys, retries: int = 0, timeout_s: float = 5.0
) -> tuple[int, str]:
    """Exit code and error of the command; that it takes seconds at most is the guard of `conftest`.

    How a download is getting on is no error: on a busy machine it may take ten seconds and say so.
    """
    names = folder.with_suffix(".txt")
    names.write_text(NODES[content].name)
    command = Download(folder=folder, list=names, mirror=server.url, retries=retries, timeout_s=timeout_s)
    try:
        run_cli(command)
    except SystemExit as ended:
        lines = capsys.readouterr().err.splitlines(keepends=True)
        return ended.code, "".join(line for line in lines if not line.startswith("download: "))
    return 0, capsys.readouterr().err


def check(server, folder: Path, content: bytes, capsys, status: int, words: str) -> None:
    """The command ends as it should, and an honest server makes up for everything."""
    node = NODES[content]
    code, error = run(server, folder, content, capsys, timeout_s=0.3 if "0.3 s" in words else 5.0)
    assert code == status, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "\x1b" not in error
    assert re.search(words, error), error
    assert node.url(server.url) in error
    assert ("run the same command again" in error) == (status == 75)
    assert {path.name for path in folder.iterdir()} <= {LOCK, f"{node.name}.part", f"{node.name}.part.json"}
    server.reply = honest(content)
    assert run(server, folder, content, capsys, retries=1) == (0, "")
    assert (folder / node.name).read_bytes() == content


@pytest.mark.parametrize("kind", PACKED_KINDS)
def test_a_server_that_breaks_the_rules_ends_a_download_in_one_line(tmp_path, capsys, kind):
    reply, status, words = PACKED_KINDS[kind]
    with serving(reply) as server:
        check(server, tmp_path / "bosz", PACKED, capsys, status, words)


@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_plain_files_without_a_checksum_are_whole_too(tmp_path, capsys, kind):
    reply, words = PLAIN_KINDS[kind]
    with serving(reply) as server:
        check(server, tmp_path / "bosz", PLAIN, capsys, 75, words)


@pytest.mark.parametrize("kind", CONTINUED)
def test_a_rest_that_is_none_is_not_glued(tmp_path, capsys, kind):
    reply, words = CONTINUED[kind]
    with serving(dropping(PACKED, reply)) as server:
        assert run(server, tmp_path / "bosz", PACKED, capsys)[0] == 75
        check(server, tmp_path / "bosz", PACKED, capsys, 75, words)


@pytest.mark.parametrize(
    "lines",
    [('ETag: "a\r\n b"',), (f'ETag: "{"e" * 60_000}"',), ("Last-Modified: \x01\x7f",), ("ETag: \xe9",), ()],
    ids=["folded", "long", "control", "accents", "none"],
)
def test_validators_that_cannot_be_sent_back_are_not(tmp_path, capsys, lines):
    """The file is begun anew."""
    with serving(dropping(PACKED, said("HTTP/1.1 403 No"), *(lines or ("A: b",)))) as server:
        assert run(server, tmp_path / "bosz", PACKED, capsys)[0] == 75
        check(server, tmp_path / "bosz", PACKED, capsys, 75, f"received {N // 2} bytes, expected {N}")


def test_a_server_without_any_file_leaves_a_list_of_holes(tmp_path, capsys):
    with serving(endless(b"0", "HTTP/1.1 404 Not Found")) as server:
        assert run(server, tmp_path / "bosz", PACKED, capsys) == (0, "")
    assert {path.name for path in (tmp_path / "bosz").iterdir()} == {LOCK, HOLES}


def test_a_redirect_within_the_web_is_followed(tmp_path, capsys):
    with serving(honest(PACKED)) as target, serving(redirect(f"{target.url}/else where")) as server:
        assert run(server, tmp_path / "bosz", PACKED, capsys) == (0, "")
    assert (tmp_path / "bosz" / NODES[PACKED].name).read_bytes() == PACKED
