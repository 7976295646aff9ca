"""Who may ask the studio, and for what."""

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from handful.studio.access import PARAMETER, Guard, new_token
from studio.conftest import HOST, TOKEN, connect


def test_the_address_with_its_token_leaves_a_cookie_that_scripts_and_other_sites_cannot_use(stranger):
    answer = stranger.get(f"/explore?source=a&{PARAMETER}={TOKEN}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/explore?source=a"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.get("/api/runs").json() == {"runs": []}


@pytest.mark.parametrize("path", ["/", "/api/runs", "/static/studio.css", "/explore", "/nothing"])
def test_nothing_is_told_without_the_token(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code == 403
    assert "handful studio printed" in answer.text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "é"])
def test_a_wrong_token_is_refused_in_the_address_and_in_the_cookie(stranger, token):
    assert stranger.get("/", params={PARAMETER: token}).status_code == 403
    header = f"handful-studio-8765={token}".encode()
    assert stranger.get("/api/runs", headers={b"cookie": header}).status_code == 403


def test_a_redirect_leads_to_no_other_site(stranger):
    answer = stranger.get(f"//evil.example/?{PARAMETER}={TOKEN}", headers={"host": HOST})
    assert not answer.headers["location"].startswith("//")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1", "127.0.0.1:80", "192.168.0.2:8765", "", "127.0.0.1.evil:8765"],
)
def test_a_name_that_is_not_ours_is_refused(browser, host):
    assert browser.get("/api/runs", headers={"host": host}).status_code == 403


def test_names_of_this_machine_are_taken(browser):
    for host in ("localhost:8765", "[::1]:8765", "LOCALHOST:8765"):
        cookie = {"cookie": f"handful-studio-8765={TOKEN}"}
        assert browser.get("/api/runs", headers={"host": host} | cookie).status_code == 200


def test_for_others_the_studio_answers_to_addresses_and_not_to_names():
    guard = Guard(lambda: None, TOKEN, "0.0.0.0", 8765)
    assert guard.is_our_host("192.168.0.2:8765")
    assert not guard.is_our_host("evil.example:8765")


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", f"http://{HOST}.evil", "http://127.0.0.1:9999"]
)
def test_a_change_must_come_from_a_page_of_ours(browser, run, origin):
    browser.headers.pop("origin")
    headers = {} if origin is None else {"origin": origin}
    answer = browser.post("/api/run/delete", json={"name": "flowers"}, headers=headers)
    assert answer.status_code == 403
    assert run.exists()
    with pytest.raises(WebSocketDisconnect), connect(browser, "flowers", origin=origin):
        pass


def test_a_socket_needs_the_token(stranger, run):
    with connect(stranger, "flowers") as socket:
        assert "directions" in socket.receive_json()
    for cookie in (None, "handful-studio-8765=wrong"):
        with pytest.raises(WebSocketDisconnect), connect(stranger, "flowers", cookie=cookie):
            pass


@pytest.mark.parametrize("path", ["/", "/run", "/explore"])
def test_pages_run_no_script_but_files_of_ours(browser, path):
    answer = browser.get(path)
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert " style=" not in answer.text
    assert "<style" not in answer.text
    assert all(" src=" in tag for tag in answer.text.split("<script")[1:])


def test_refusals_have_the_policy_too(stranger):
    assert "default-src 'none'" in stranger.get("/").headers["content-security-policy"]


def test_a_stranger_s_report_is_an_origin_of_its_own(browser, run):
    (run / "report.html").write_text("<script>alert(1)</script>")
    policy = browser.get("/report?name=flowers").headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts allow-downloads;")
    assert "allow-same-origin" not in policy
    assert "worker-src blob:" in policy  # the explorer of a report draws in one
    assert "default-src 'none'" in policy


def test_bodies_are_bounded(browser, run):
    answer = browser.post("/api/run/delete", content=b" " * 2_000_000)
    assert answer.status_code == 400
    assert "larger than 1 MB" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'{"name": NaN}', b"\xff", b'{"name": 3}', b"{}"])
def test_a_body_that_is_none_of_ours_is_refused_in_words(browser, run, body):
    answer = browser.post("/api/run/delete", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert run.exists()


def test_tokens_are_long_and_never_the_same():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32


def test_a_cookie_of_another_studio_does_not_count(stranger: TestClient):
    assert stranger.get("/api/runs", headers={"cookie": f"handful-studio-8766={TOKEN}"}).status_code == 403
