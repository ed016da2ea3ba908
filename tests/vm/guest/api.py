# SPDX-License-Identifier: Apache-2.0
"""A health endpoint: answers GET /health with 200 on 127.0.0.1:PORT, after WORK
seconds of CPU time, as one that asks its database does."""

import http.server
import sys
import time

WORK = 0.08


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"ok\n"
        until = time.process_time() + WORK
        while time.process_time() < until:
            pass
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.HTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
