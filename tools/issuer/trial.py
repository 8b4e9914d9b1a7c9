"""Takes the local service through the life of a real OpenID provider: discovery, a token, a read, a rotated key, an outage of
the provider and its return. It takes a minute, which the service's cool-down between two fetches of keys asks for."""

import base64
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A little more than the service waits between two fetches of keys.
COOL_DOWN_SECONDS = 31


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


class Server:
    """A process that serves on a port of this machine."""

    def __init__(self, command, port, environment):
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(port))).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{command[0]} does not serve")
                time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


def token(issuer, bundle):
    credentials = base64.b64encode(b"imaging-client:imaging-client-secret").decode()
    request = urllib.request.Request(
        f"{issuer}/token", b"grant_type=client_credentials", {"Authorization": f"Basic {credentials}"}
    )
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=bundle)) as response:
        return json.load(response)["access_token"]


def key_id(jwt):
    header = jwt.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def main():
    issuer_port, service_port = free_port(), free_port()
    issuer = f"https://localhost:{issuer_port}"
    with tempfile.TemporaryDirectory() as state:
        bundle = f"{state}/authority.pem"
        servers = []

        def start(command, port, environment):
            servers.append(Server(command, port, environment))
            return servers[-1]

        def start_provider():
            node = [str(ROOT / ".venv/node/bin/node"), "tools/issuer/issuer.js"]
            return start(node, issuer_port, {"ISSUER_PORT": issuer_port, "ISSUER_STATE": state})

        def expect(step, jwt, expected):
            url = f"http://127.0.0.1:{service_port}/site/4/fhir/imaging-study/panoramic"
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {jwt}"})
            try:
                status = urllib.request.urlopen(request).status
            except urllib.error.HTTPError as error:
                status = error.code
            if status != expected:
                sys.exit(f"{step}: {status}, not {expected}")
            print(f"{step}: {status}", flush=True)

        try:
            provider = start_provider()
            start(
                ["cargo", "run", "--quiet", "--locked", "-p", "local"],
                service_port,
                {
                    "LOCAL_PORT": service_port,
                    "DYNAMODB_PORT": free_port(),
                    "JWT_ISSUER": issuer,
                    "JWT_AUDIENCE": "imaging-study",
                    "JWT_CA_BUNDLE": bundle,
                },
            )
            first = token(issuer, bundle)
            expect("a token of the provider reads a study", first, 200)

            provider.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 10
            while key_id(second := token(issuer, bundle)) == key_id(first):
                if time.monotonic() > deadline:
                    sys.exit("the provider did not rotate its key")
                time.sleep(0.1)
            provider.stop()
            time.sleep(COOL_DOWN_SECONDS)
            expect("with the provider gone, its new key cannot be fetched", second, 503)
            expect("with the provider gone, cached keys serve", first, 200)

            start_provider()
            time.sleep(COOL_DOWN_SECONDS)
            expect("with the provider back, its new key is fetched at once", second, 200)
            expect("with the provider back, its old key is still good", first, 200)
        finally:
            for server in servers:
                server.stop()


main()
