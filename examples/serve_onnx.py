"""Serves an exported network on this machine.

python examples/serve_onnx.py tiny.onnx 8000
curl --data '[[0.51, 0.49, ...]]' http://127.0.0.1:8000   # flux of spectra, 4096 pixels each
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import onnxruntime


def server(model: str, port: int) -> HTTPServer:
    """A server that answers a list of spectra with their labels, and sigma where the network has it."""
    session = onnxruntime.InferenceSession(model)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            flux = np.array(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), np.float32)
            found = session.run(None, {"flux": flux})
            answer = {one.name: part.tolist() for one, part in zip(session.get_outputs(), found, strict=True)}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    return HTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    server(sys.argv[1], int(sys.argv[2])).serve_forever()
