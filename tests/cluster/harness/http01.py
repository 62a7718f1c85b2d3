"""Answers http-01 from the Challenge objects of a cluster, where no kubelet runs cert-manager's solver pods.

The server's validation comes with a path; cert-manager's own check comes as to a proxy (HTTP_PROXY), with a whole URL.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.cluster.harness.control_plane import Cluster


class Responder:
    """Where http-01 is answered; `asked` are the tokens that somebody asked for."""

    def __init__(self, port: int, *clusters: Cluster) -> None:
        self.asked: list[str] = []
        self.clusters = clusters
        responder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                token = self.path.rpartition("/")[2]
                responder.asked.append(token)
                key = responder.key_of(token)
                body = (key or "no challenge has this token").encode()
                self.send_response(404 if key is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def key_of(self, token: str) -> str | None:
        for cluster in filter(Cluster.running, self.clusters):
            for challenge in cluster.objects("Challenge"):
                if challenge["spec"]["token"] == token and challenge["spec"]["type"] == "HTTP-01":
                    key: str = challenge["spec"]["key"]
                    return key
        return None

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(10)


@contextmanager
def running_responder(port: int, *clusters: Cluster) -> Iterator[Responder]:
    responder = Responder(port, *clusters)
    try:
        yield responder
    finally:
        responder.close()
