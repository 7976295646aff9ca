"""A stand-in for the Hugging Face Hub: repositories of models in memory, behind its HTTP interface.

It has what creating, committing to and downloading from a repository needs. It takes every file within the commit,
where the real Hub has a store of its own for large ones.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

LICENSES = {"mit", "cc-by-4.0", "cc0-1.0", "other"}


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Hub:
    address: str = ""
    token: str = "hf_secret"
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Actions that are forbidden: commit, delete."""


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, code: int, content: bytes | dict, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def seen(self, name: str) -> Repository | None:
        """The repository of that name, if it is there and may be seen."""
        repository = self.hub.repositories.get(name)
        allowed = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        return repository if repository is not None and (allowed or not repository.private) else None

    def missing(self) -> None:
        self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)", self.path):
            repository = self.seen(match[1])
            if repository is None:
                return self.missing()
            files = [{"rfilename": name} for name in (".gitattributes", *repository.files)]
            about = {"id": match[1], "private": repository.private, "sha": "0" * 40, "siblings": files}
            return self.answer(200, about)
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/main/(.+)", self.path)
        repository = self.seen(match[1]) if match else None
        if repository is None:
            return self.missing()
        content = repository.files.get(match[2])
        if content is None:
            return self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit="0" * 40)
        return self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit="0" * 40)

    def do_POST(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/validate-yaml":  # asked without a token too
            return self.validate(json.loads(body)["content"])
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self.answer(401, {"error": "Invalid username or password."})
        if self.path == "/api/repos/create":
            return self.create(json.loads(body))
        name, action = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", self.path).groups()
        repository = self.seen(name)
        if action in self.hub.refused:
            return self.answer(403, {"error": f"no {action} today"})
        if action == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                     for file in json.loads(body)["files"]]  # fmt: skip
            return self.answer(200, {"files": files})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                repository.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        address = f"{self.hub.address}/{name}/commit/{'0' * 40}"
        return self.answer(200, {"commitUrl": address, "commitOid": "0" * 40, "success": True})

    def do_DELETE(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/api/repos/delete" or "delete" in self.hub.refused:
            return self.answer(403, {"error": "no delete today"})
        del self.hub.repositories[f"{asked['organization']}/{asked['name']}"]
        return self.answer(200, {})

    def create(self, asked: dict) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            return self.answer(
                409, {"error": "You already created this model repo", "url": f"{self.hub.address}/{name}"}
            )
        self.hub.repositories[name] = Repository(asked["visibility"] == "private")
        return self.answer(200, {"url": f"{self.hub.address}/{name}", "name": name})

    def validate(self, text: str) -> None:
        metadata = yaml.safe_load(text.split("---")[1])
        license = metadata.get("license")
        errors = [] if license in (None, *LICENSES) else [{"message": f'"license" must be one of {sorted(LICENSES)}'}]
        self.answer(400 if errors else 200, {"errors": errors, "warnings": []})


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve an empty Hub."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
