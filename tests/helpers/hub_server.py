"""A server that speaks what huggingface_hub needs to make a repository and upload a folder, in memory on 127.0.0.1."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.helpers.local_server import running

TOKEN = "hf_tester"


@dataclass
class HubServer:
    """What the server knows.

    Attributes:
        repos: whether each repository is private. files: of all repositories, by repository and path.
        sent: every body that came, for looking for what must not be sent. calls: methods and paths.
        answers: statuses to give in place of an answer, by the end of a path.
    """

    repos: dict[str, bool] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)  # large files by sha256
    sent: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    address: str = ""

    def called(self, part: str) -> int:
        """How many calls have this in their path."""
        return sum(part in call for call in self.calls)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: HubServer

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        self._handle(b"")

    def do_POST(self) -> None:
        self._handle(self._body())

    def do_PUT(self) -> None:
        self._handle(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _handle(self, body: bytes) -> None:
        state, path = self.state, self.path.partition("?")[0]
        state.calls.append(f"{self.command} {path}")
        state.sent.append(body)
        for end, status in state.answers.items():
            if path.endswith(end):
                self._answer(status, {"error": "no"})
                return
        if not path.startswith("/storage/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid credentials in Authorization header"})
            return
        for part, answer in (
            ("/api/whoami", self._whoami), ("/api/repos/create", self._create), ("/api/validate-yaml", self._validate),
            ("/preupload/", self._preupload), ("/info/lfs/objects/batch", self._batch), ("/storage/", self._store),
            ("/commit/", self._commit), ("/api/models/", self._info),
        ):  # fmt: skip
            if part in path:
                answer(path, body)
                return
        self._answer(404, {"error": f"not there: {path}"})

    def _whoami(self, _path: str, _body: bytes) -> None:
        token = {"displayName": "tests", "role": "write", "createdAt": "2026-01-01T00:00:00.000Z"}
        self._answer(200, {"type": "user", "id": "1", "name": "tester", "fullname": "Tester", "email": "t@example.org",
                           "emailVerified": True, "isPro": False, "plan": "free", "canPay": False, "avatarUrl": "",
                           "orgs": [], "auth": {"type": "access_token", "accessToken": token}})  # fmt: skip

    def _info(self, path: str, _body: bytes) -> None:
        repo = path.removeprefix("/api/models/").partition("/revision/")[0]
        if repo not in self.state.repos:
            self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return
        names = [{"rfilename": name} for of, name in self.state.files if of == repo]
        self._answer(200, {"id": repo, "modelId": repo, "private": self.state.repos[repo], "sha": "a" * 40,
                           "siblings": names, "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

    def _create(self, _path: str, body: bytes) -> None:
        wanted = json.loads(body)
        repo = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        status = 409 if repo in self.state.repos else 200
        visibility = wanted.get("visibility")  # of later versions
        private = bool(wanted.get("private")) if visibility is None else visibility != "public"
        self.state.repos.setdefault(repo, private)
        self._answer(status, {"url": f"{self.state.address}/{repo}", "name": repo, "id": "1"})

    def _validate(self, _path: str, _body: bytes) -> None:
        self._answer(200, {"warnings": [], "errors": []})

    def _preupload(self, _path: str, body: bytes) -> None:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in json.loads(body)["files"]
        ]
        self._answer(200, {"files": modes})

    def _batch(self, _path: str, body: bytes) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.state.address}/storage/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"})

    def _store(self, path: str, body: bytes) -> None:
        assert path.endswith(hashlib.sha256(body).hexdigest())
        self.state.stored[path.rpartition("/")[2]] = body
        self._answer(200, {})

    def _commit(self, path: str, body: bytes) -> None:
        repo = path.removeprefix("/api/models/").partition("/commit/")[0]
        for line in filter(None, body.splitlines()):
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.state.files[repo, value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.state.files[repo, value["path"]] = self.state.stored[value["oid"]]
        url = f"{self.state.address}/{repo}/commit/{'b' * 40}"
        self._answer(200, {"success": True, "commitUrl": url, "commitOid": "b" * 40, "pullRequestUrl": None})

    def _answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the other side may have gone
            self.wfile.write(data)


def serving_hub() -> AbstractContextManager[HubServer]:
    """A running server; ``address`` is its base URL."""
    return running(HubServer(), _Handler)
