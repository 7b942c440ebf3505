"""The ways to a server: TLS with its certificate, proxies, least rates."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from crlb.bosz.names import make_node
from crlb.cli.bosz import Download
from crlb.errors import run_cli
from tests.hostile.servers import OK, PACKED, TAG, honest, redirect, said, serving, silent, trickled

NODE = make_node(2024, {"T_eff": 5000.0, "log_g": 2.0}, 5000)


def run(mirror: str, tmp_path: Path, capsys, **options) -> tuple[int, str]:
    """Exit code, and what is said."""
    names = tmp_path / "names.txt"
    names.write_text(NODE.name)
    options = {"retries": 0, "timeout_s": 5.0} | options
    try:
        run_cli(Download(folder=tmp_path / "bosz", list=names, mirror=mirror, **options))
    except SystemExit as ended:
        return ended.code, capsys.readouterr().err
    assert (tmp_path / "bosz" / NODE.name).read_bytes() == PACKED
    return 0, capsys.readouterr().err


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A key and a certificate of 127.0.0.1, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout {path} -out {path}.crt"
    subprocess.run(["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_trusted_server_is_read_over_tls(tmp_path, capsys, monkeypatch, certificate, tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(honest(PACKED), tls) as server:
        assert run(server.url, tmp_path, capsys) == (0, "")


def test_a_silent_server_is_left_over_tls_too(tmp_path, capsys, monkeypatch, certificate, tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(silent(OK, "Content-Length: 1000"), tls) as server:
        code, error = run(server.url, tmp_path, capsys, timeout_s=0.5)
    assert code == 75
    assert "connection lost: nothing came for 0.5 s" in error


def test_a_server_without_a_trusted_certificate_is_refused(tmp_path, capsys, tls):
    with serving(honest(PACKED), tls) as server:
        code, error = run(server.url, tmp_path, capsys)
    assert code == 66
    assert "is not trusted" in error
    assert "run the same command again" not in error


def test_a_redirect_from_tls_to_plain_text_is_not_followed(tmp_path, capsys, monkeypatch, certificate, tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(honest(PACKED)) as plain, serving(redirect(plain.url), tls) as server:
        code, error = run(server.url, tmp_path, capsys)
        assert plain.requests == 0
    assert code == 66
    assert "from https only https" in error


def test_a_proxy_of_the_environment_is_used(tmp_path, capsys, monkeypatch):
    with serving(honest(PACKED)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert run("http://archive.example", tmp_path, capsys) == (0, "")


def test_a_proxy_that_cannot_be_used_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("all_proxy", "gopher://127.0.0.1:70")
    with serving(honest(PACKED)) as server:
        code, error = run(server.url, tmp_path, capsys)
        assert server.requests == 0
    assert code == 66
    assert "the proxy that the environment names cannot be used: Unknown scheme" in error
    assert error.count("\n") == 1


def test_a_proxy_that_opens_no_way_to_a_server_is_no_connection(tmp_path, capsys, monkeypatch):
    with serving(said("HTTP/1.1 403 Not from here")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        code, error = run("https://archive.example", tmp_path, capsys)
    assert code == 75
    assert "no connection to 'archive.example': 403 Not from here" in error


@pytest.mark.parametrize(("least", "status"), [(1000.0, 0), (1e7, 75)])
def test_the_least_rate_is_what_was_asked_for(tmp_path, capsys, least, status):
    """60 kB in a little more than a second."""
    with serving(trickled(PACKED, OK, TAG, f"Content-Length: {len(PACKED)}", piece=1000)) as server:
        code, error = run(server.url, tmp_path, capsys, min_rate_Bps=least, timeout_s=0.5, retries=1)
    assert code == status, error
    assert ("less than 1e+07 bytes/s came over 0.5 s" in error) == bool(status)
