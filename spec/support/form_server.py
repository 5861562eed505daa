# form_server.py
# A loopback server that takes each form apart with Python's own mail parser and keeps the last.
# Does not know the service: it answers success to whatever comes.
# SPDX-License-Identifier: MIT
#
# form_server.py PORT_FILE [CERTIFICATE KEY]    ends when its standard input does
import http.server
import json
import os
import ssl
import sys
import threading
from email.parser import BytesParser
from email.policy import HTTP

last = {}


def parts_of(content_type, body):
    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    if not message.is_multipart() or message.defects:
        raise ValueError("no multipart form: %r" % message.defects)
    for part in message.iter_parts():
        if part.defects:
            raise ValueError("a broken part: %r" % part.defects)
        yield {
            "name": part.get_param("name", header="content-disposition"),
            "filename": part.get_param("filename", header="content-disposition"),
            "headers": sorted(name.lower() for name in part.keys()),
            "hex": part.get_payload(decode=True).hex(),
        }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(200, last)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        last.clear()
        last["headers"] = {name.lower(): value for name, value in self.headers.items()}
        last["path"] = self.path
        try:
            last["parts"] = list(parts_of(self.headers["Content-Type"], body))
        except ValueError as problem:
            last["problem"] = str(problem)
        self.answer(200, {"success": True, "data": True, "traceId": "form-server"})

    def log_message(self, *_):
        pass


def end_with_input():
    sys.stdin.read()
    os._exit(0)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=end_with_input, daemon=True).start()
with open(sys.argv[1], "w") as port_file:
    port_file.write("%d\n" % server.server_address[1])
server.serve_forever()
