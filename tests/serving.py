"""A small OpenAI-compatible server on this machine, whose models say what a test tells them to."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Says = Callable[[Any, int], str]  # the turns or the text that were sent, and the greatest number of tokens


@dataclass
class Server:
    """What a test knows of a running server: where it is, and what was sent to it.

    `failures` are the statuses of the next answers to questions, before they succeed; `key` is the one that is asked
    for, if any; `raw` stands in for every answer; `routes` are the ways to ask it.
    """

    says: Mapping[str, Says]
    url: str = ""
    key: str = ""
    raw: str | None = None
    listed: str | None = None
    failures: list[int] = field(default_factory=list)
    routes: Sequence[str] = ("chat/completions", "completions")
    reports: Mapping[str, Any] = field(default_factory=dict)
    sent: list[Mapping[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    lock: Any = field(default_factory=Lock)

    @property
    def models(self) -> str:
        return json.dumps({"object": "list", "data": [{"id": name, **self.reports} for name in self.says]})

    def answer(self, path: str, body: Mapping[str, Any]) -> tuple[int, str]:
        """The status and the text of the reply to one question."""
        with self.lock:
            self.sent.append(body)
            if self.failures:
                return self.failures.pop(0), json.dumps({"error": {"message": f"failed on {json.dumps(body)}"}})
        route = path.partition("/v1/")[2].partition("?")[0]
        if route not in self.routes or body["model"] not in self.says:
            return 404, json.dumps({"error": {"message": f"nothing for {json.dumps(body)}"}})
        if self.raw is not None:
            return 200, self.raw
        chat = route.startswith("chat")
        text = self.says[body["model"]](body["messages" if chat else "prompt"], body["max_tokens"])
        said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        return 200, json.dumps({"id": "x", "choices": [{"index": 0, "finish_reason": "stop", **said}]})


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = server.models if server.listed is None else server.listed
            self._reply(*((200, found) if "/v1/models" in self.path and found else (404, "{}")))

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            self._reply(*server.answer(self.path, json.loads(self.rfile.read(size))))

        def _reply(self, status: int, text: str) -> None:
            server.paths.append(self.path)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
                status, text = 401, json.dumps({"error": {"message": f"wrong key {self.headers.get('Authorization')}"}})
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if text[:1] in "{[" else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(says: Mapping[str, Says], **settings: Any) -> Iterator[Server]:
    """The server on a port of its own, for as long as this lasts."""
    server = Server(says, **settings)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def reciting(answers: Mapping[str, str], otherwise: str = "I do not know.") -> Says:
    """A model that knows these answers: it gives the one whose question stands last in what it is asked."""

    def says(sent: Any, _most: int) -> str:
        text = sent if isinstance(sent, str) else sent[-1]["content"]
        found = {text.rfind(question): answer for question, answer in answers.items() if question in text}
        return found[max(found)] if found else otherwise

    return says
