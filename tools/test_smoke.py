"""When `tools/smoke` calls a response wrong, and when it says that there was none: only the former rolls a deployment back."""

import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest

SMOKE = pathlib.Path(__file__).with_name("smoke")
OF_THE_FUNCTION = {"X-Content-Type-Options": "nosniff", "Content-Type": "application/json"}
PATIENT = "Somebody"


class Smoke(unittest.TestCase):
    def test_a_wrong_response_is_wrong_and_not_printed(self):
        status, said = self.smoke(200, OF_THE_FUNCTION, {"resourceType": "ImagingStudy", "subject": {"display": PATIENT}})
        self.assertEqual(status, 3)
        self.assertNotIn(PATIENT, said)

    def test_a_function_that_does_not_start_is_wrong(self):
        self.assertEqual(self.smoke(500, {}, {"message": "Internal Server Error"})[0], 3)

    def test_what_the_gateway_rejects_says_nothing_of_the_function(self):
        for status in (403, 404, 429):
            with self.subTest(status):
                self.assertEqual(self.smoke(status, {}, {"message": "Forbidden"})[0], 2)

    def test_an_address_that_does_not_respond_says_nothing(self):
        status, said = self.smoke(API_URL="http://127.0.0.1:1")
        self.assertEqual((status, "does not respond" in said), (2, True))

    def test_a_token_that_has_expired_says_nothing(self):
        status, said = self.smoke(TOKEN=token(expires=-1))
        self.assertEqual((status, "TOKEN has expired" in said), (2, True))

    def test_a_token_endpoint_that_is_down_says_nothing_and_shows_no_secret(self):
        endpoint = {"TOKEN_URL": "http://127.0.0.1:1", "CLIENT_ID": "client", "CLIENT_SECRET": "s3cret"}
        status, said = self.smoke(TOKEN="", **endpoint)
        self.assertEqual((status, "there is no token" in said, "s3cret" in said), (2, True, False))

    def test_a_new_token_is_fetched_in_the_place_of_one_that_has_expired(self):
        with server(200, {}, {"access_token": "new"}) as (url, requests):
            done = run("token", TOKEN=token(expires=-1), TOKEN_URL=url, CLIENT_ID="a:b", CLIENT_SECRET="c", TOKEN_PARAMETERS="scope=x")
        self.assertEqual((done.stdout, done.returncode), ("new\n", 0))
        basic = base64.b64encode(b"a%3Ab:c").decode()
        self.assertEqual(requests, [(f"Basic {basic}", b"grant_type=client_credentials&scope=x")])

    def smoke(self, status=200, headers=OF_THE_FUNCTION, body=None, **environment):
        with server(status, headers, body) as (url, _):
            done = run(**{"API_URL": url, "TOKEN": token(expires=3600), **environment})
        return done.returncode, done.stdout + done.stderr


class server:
    """A server that responds to all requests alike, and keeps authorization and body of those with a body."""

    def __init__(self, status, headers, body):
        requests = self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if length := int(self.headers["Content-Length"] or 0):
                    requests.append((self.headers["Authorization"], self.rfile.read(length)))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(json.dumps(body).encode())

            do_HEAD = do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}", self.requests

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def run(*arguments, **environment):
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run([sys.executable, SMOKE, *arguments], env=environment, capture_output=True, text=True)


def token(expires):
    payload = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + expires}).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


if __name__ == "__main__":
    unittest.main()
