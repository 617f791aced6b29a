"""The page's server: what it answers, and that nothing sent to it breaks it or leaves the page."""

import http.client
import io
import json
import random
import socket
import struct
import threading
from urllib.parse import quote

import numpy as np
import pytest

from skyloom.explore.page import server as serving
from skyloom.explore.page.server import MOST_BYTES, Server
from tests.explore.toy import FILES, N


@pytest.fixture(scope="module")
def server(page_results):
    """A server in a thread, on any free port."""
    made = Server(page_results, 0)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def ask(server, path: str, method: str = "GET", body: bytes | None = None, **headers):
    """Status, headers, and the answer (of JSON, what it says)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for key, value in headers.items():
            connection.putheader(key.replace("_", "-"), value)
        if body is not None and "Content_Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        if answer.headers.get_content_type() == "application/json":
            content = json.loads(content)
        return answer.status, dict(answer.headers), content
    finally:
        connection.close()


def raw(server, sent: bytes) -> bytes:
    """What comes back for bytes that need not be a request."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def alive(server) -> bool:
    return ask(server, "/data/manifest.js")[0] == 200


def test_it_listens_on_the_loopback_alone(server):
    assert server.server_address[0] == "127.0.0.1" and server.address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("path", ["/", "/index.html", "/map.js", "/explore.css", "/icon.svg", "/data/image-0-0.jpg"])
def test_files_come_with_a_strict_policy_and_their_type(server, path):
    status, headers, content = ask(server, path)
    assert status == 200 and len(content) == int(headers["Content-Length"]) > 0
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http:" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and "skyloom" not in headers["Server"]
    kinds = {"js": "text/javascript", "css": "text/css", "jpg": "image/jpeg", "svg": "image/svg+xml"}
    assert headers["Content-Type"].startswith(kinds.get(path.rpartition(".")[2], "text/html"))
    assert ask(server, path, "HEAD")[2] == b""


def test_neighbours_are_those_of_the_folder_without_a_server(server, page_results):
    from skyloom.explore.page.site import Site
    from skyloom.explore.page.sources import Sources

    still = Site(Sources.of_folder(page_results))
    for pairing in ("clip/image-image", "clip/spectrum-image"):
        status, _, found = ask(server, f"/api/neighbours?row=7&pairing={pairing}&k=10")
        rows, distance = still.alike.of(pairing, np.array([7]), 10)
        assert status == 200 and found["rows"] == rows[0].tolist()
        np.testing.assert_allclose(found["distances"], distance[0], rtol=1e-3, atol=1e-6)


def test_a_file_lands_on_its_own_galaxy(server, results):
    folder, _ = results
    for file, asked in ((FILES["spectra"], "spectrum"), (FILES["images"], "image")):
        body = (folder / file).read_bytes()
        status, _, found = ask(server, f"/api/like?name={file}&k=3&model=clip", "POST", body)
        assert status == 200, found
        assert {a["pairing"] for a in found["answers"]} == {f"clip/{asked}-{f}" for f in ("image", "spectrum")}
        own = next(a for a in found["answers"] if a["pairing"] == f"clip/{asked}-{asked}")
        assert own["rows"][0] == 0 and own["distances"][0] < 1e-4 and own["query"] == f"{file}: 10"


@pytest.mark.parametrize(
    "path, says",
    [
        ("/api/neighbours", "row: '' is not a whole number"),
        (f"/api/neighbours?row={N}&pairing=clip/image-image&k=1", "from 0 to 59"),
        ("/api/neighbours?row=-1&pairing=clip/image-image&k=1", "not a whole number"),
        ("/api/neighbours?row=1&pairing=clip/image-image&k=1000000", "from 1 to 100"),
        ("/api/neighbours?row=1&pairing=clip/image-image&k=0", "from 1 to 100"),
        ("/api/neighbours?row=1e3&pairing=clip/image-image&k=1", "not a whole number"),
        ("/api/neighbours?row=%D9%A1&pairing=clip/image-image&k=1", "not a whole number"),
        ("/api/neighbours?row=1&pairing=../../etc/passwd&k=1", "pairing: expected one of clip/"),
        ("/api/neighbours?row=1&" + "&".join(f"a{i}=1" for i in range(50)), "fields"),
        ("/api/neighbours?row=" + "9" * 3000, "not a whole number"),
    ],
)
def test_what_cannot_be_asked_is_said(server, path, says):
    status, _, found = ask(server, path)
    assert status == 400 and says in found["error"] and len(found["error"]) < 1100
    assert alive(server)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/../../../../etc/passwd",
            "/data/../../site.py",
            "/data/..%2f..%2fsite.py",
            "/%2e%2e/server.py",
            "//etc/passwd",
        ),
        *(
            "/data/manifest.js%00.jpg",
            "/static/map.js",
            "/site.py",
            "/data/",
            "/data",
            "/data/neighbours-0.js",
            "/api/x",
        ),
        *(
            "/data/details-999999.js",
            "/data/map-9999.js",
            "/C:/windows",
            "/\\..\\..\\x",
            "/data/content-0.js",
            "/__init__.py",
        ),
    ],
)
def test_no_other_file_can_be_reached(server, path):
    status, _, found = ask(server, path)
    assert status == 404 and set(found) == {"error"} and alive(server)


def test_requests_for_another_host_or_of_another_page_are_refused(server):
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{server.server_port}"}, {"Host": ""}):
        assert ask(server, "/data/manifest.js", **headers)[0] == 403
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{server.server_port}"):
        assert ask(server, "/api/like?k=1", "POST", b"x", Origin=origin)[0] == 403
    assert ask(server, "/data/manifest.js", Origin=f"http://127.0.0.1:{server.server_port}")[0] == 200


def test_files_that_are_none_are_said_and_leave_nothing_behind(server):
    draw = random.Random(3)
    for name in (
        "x.fits",
        "x.npz",
        "x.h5",
        "x.parquet",
        "x.csv",
        "../../x.fits",
        "",
        "a" * 300,
        "x.fits\x00.npz",
        "..",
    ):
        body = draw.randbytes(4000)
        status, _, found = ask(server, f"/api/like?k=3&model=clip&name={quote(name)}", "POST", body)
        assert status == 400 and "skyloom-" not in found["error"], found
    assert ask(server, "/api/like?k=3&model=none&name=x", "POST", b"x")[2]["error"] == "model: expected one of clip"
    assert ask(server, "/api/like?k=3&model=clip&name=x.npz", "POST", b"")[0] == 400
    assert alive(server)


def test_files_too_large_or_without_a_length_are_refused_unread(server):
    assert ask(server, "/api/like?k=3", "POST", b"", Content_Length=str(MOST_BYTES + 1))[0] == 413
    assert ask(server, "/api/like?k=3", "POST", b"", Content_Length="9" * 40)[0] == 411
    assert ask(server, "/api/like?k=3", "POST", b"", Content_Length="-1")[0] == 411
    assert ask(server, "/api/like?k=3", "POST", None)[0] == 411
    assert ask(server, "/other", "POST", b"x")[0] == 404
    assert ask(server, "/data/manifest.js", "PUT", b"x")[0] == 501
    assert alive(server)


def test_a_file_that_ends_early_is_said(server):
    head = f"POST /api/like?k=3&model=clip HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
    assert b"the file ended early" in raw(server, f"{head}Content-Length: 100\r\n\r\nshort".encode())
    assert alive(server)


def test_a_client_that_goes_away_leaves_no_word(server, capsys, caplog):
    for sent in (b"", b"GET /data/manifest.js HTTP/1.1\r\n", b"POST /api/like HTTP/1.1\r\nContent-Length: 9\r\n\r\n"):
        connection = socket.create_connection(("127.0.0.1", server.server_port))
        connection.sendall(sent)
        # closed at once: the other side gets a reset
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert alive(server)
    assert capsys.readouterr().err == "" and caplog.text == ""


def test_a_silent_client_does_not_hold_up_others(server):
    with socket.create_connection(("127.0.0.1", server.server_port)) as silent:
        silent.sendall(b"GET /data/manifest.js HT")
        assert alive(server)


def test_long_and_broken_requests_get_an_answer_and_the_server_stays_up(server):
    assert b" 414 " in raw(server, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n").splitlines()[0]
    assert ask(server, "/" + "a" * 5000)[0] == 414
    assert b" 431 " in raw(server, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n").splitlines()[0]
    draw = random.Random(1)
    for length in (1, 10, 100, 5000):
        for _ in range(5):
            answer = raw(server, draw.randbytes(length) + b"\r\n\r\n")
            assert answer == b"" or b"error" in answer
    host = f"Host: 127.0.0.1:{server.server_port}".encode()
    for line in (
        b"GET",
        b"GET /",
        b"GET / HTTP/9.9",
        b"GET\t/\x00 HTTP/1.1",
        b"G\xff\xfe / HTTP/1.1",
        b"DELETE / HTTP/1.1",
    ):
        answer = raw(server, line + b"\r\n" + host + b"\r\n\r\n")
        assert b"Traceback" not in answer
    assert alive(server)


def test_random_questions_never_get_more_than_a_refusal(server):
    draw = random.Random(7)
    words = [
        "row",
        "k",
        "pairing",
        "name",
        "%00",
        "..",
        "/",
        "=",
        "&",
        "1",
        "1e9",
        "-1",
        "clip/image-image",
        "\u2028",
        "<script>",
    ]
    for _ in range(150):
        text = "".join(draw.choices(words, k=draw.randint(1, 12)))
        path = "/" + draw.choice(["api/neighbours?", "api/", "data/", ""]) + text.encode().hex(" ").replace(" ", "%")
        status, _, found = ask(server, path)
        assert status in (400, 403, 404, 414), path
        assert "error" in found
    assert alive(server)


def test_an_error_of_ours_is_an_answer_without_its_innards(server, monkeypatch, caplog):
    monkeypatch.setattr(server.answers, "neighbours", lambda asked: 1 / 0)
    status, _, found = ask(server, "/api/neighbours?row=1")
    assert status == 500 and found == {"error": "ZeroDivisionError; see the server's terminal"}
    assert "Traceback" in caplog.text and alive(server)


def test_other_programs_of_the_machine_find_a_cone_search(server, results):
    from astropy.io.votable import parse_single_table

    _, values = results
    status, headers, content = ask(server, f"/cone?RA={values['ra'][9]:.6f}&DEC={values['dec'][9]:.6f}&SR=0.001")
    table = parse_single_table(io.BytesIO(content)).to_table()
    assert status == 200 and "votable" in headers["Content-Type"] and list(map(int, table["targetid"])) == [19]
    assert b"Error" in ask(server, "/cone?RA=x&DEC=1&SR=1")[2]


def test_the_command_says_in_a_line_what_is_wrong(page_results, tmp_path, monkeypatch, capsys):
    from skyloom.explore import __main__ as command

    monkeypatch.setattr("sys.argv", ["explore", str(tmp_path)])
    assert command.main() == 1 and len(capsys.readouterr().err.splitlines()) == 1
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("sys.argv", ["explore", str(page_results), "--port", str(taken.getsockname()[1])])
        assert command.main() == 1 and "choose another by --port" in capsys.readouterr().err
    assert serving.PORT == 8765
