"""Takes the local service through the life of two real OpenID providers that it trusts at once: discovery, tokens, reads, and
the rotated key, the outage and the return of each, beside the other. It takes a minute and a half, which the service's
cool-down between two fetches of an issuer's keys asks for."""

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


class Provider:
    """An OpenID provider that keeps its keys and its authority in a directory of its own."""

    def __init__(self, name, state):
        self.name, self.state, self.port = name, state, free_port()
        self.issuer = f"https://localhost:{self.port}"
        self.bundle = state / "authority.pem"
        self.server = None
        self.start()

    def start(self):
        node = [str(ROOT / ".venv/node/bin/node"), "tools/issuer/issuer.js"]
        self.server = Server(node, self.port, {"ISSUER_PORT": self.port, "ISSUER_STATE": str(self.state)})

    def stop(self):
        if self.server:
            self.server.stop()
        self.server = None

    def token(self):
        credentials = base64.b64encode(b"imaging-client:imaging-client-secret").decode()
        request = urllib.request.Request(
            f"{self.issuer}/token", b"grant_type=client_credentials", {"Authorization": f"Basic {credentials}"}
        )
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=self.bundle)) as response:
            return json.load(response)["access_token"]

    def rotate(self):
        """Has the provider sign with a new key, and returns a token of that key."""
        before = key_id(self.token())
        self.server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while key_id(after := self.token()) == before:
            if time.monotonic() > deadline:
                sys.exit(f"{self.name} did not rotate its key")
            time.sleep(0.1)
        return after

    def element(self):
        return {"issuer": self.issuer, "audience": "imaging-study", "sites": ["4"]}


def key_id(jwt):
    header = jwt.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def expect(port, step, jwt, expected):
    url = f"http://127.0.0.1:{port}/site/4/fhir/imaging-study/panoramic"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {jwt}"})
    try:
        status = urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        status = error.code
    if status != expected:
        sys.exit(f"{step}: {status}, not {expected}")
    print(f"{step}: {status}", flush=True)


def trial(directory, running):
    for name in ("A", "B"):
        (directory / name).mkdir()
        running.append(Provider(name, directory / name))
    a, b = running
    bundle = directory / "bundle.pem"
    bundle.write_text("\n".join(provider.bundle.read_text() for provider in (a, b)))
    port = free_port()
    environment = {
        "LOCAL_PORT": port,
        "DYNAMODB_PORT": free_port(),
        "JWT_ISSUERS": json.dumps([a.element(), b.element()]),
        "JWT_CA_BUNDLE": str(bundle),
    }
    running.append(Server(["cargo", "run", "--quiet", "--locked", "-p", "local"], port, environment))

    first_of_a = a.token()
    expect(port, "a token of A reads a study", first_of_a, 200)
    expect(port, "a token of B reads a study", b.token(), 200)

    second_of_a = a.rotate()
    a.stop()
    time.sleep(COOL_DOWN_SECONDS)
    expect(port, "with A gone, its new key cannot be fetched", second_of_a, 503)
    expect(port, "with A gone, its cached keys serve", first_of_a, 200)
    second_of_b = b.rotate()
    expect(port, "with A gone, the new key of B is fetched at once", second_of_b, 200)

    third_of_b = b.rotate()
    b.stop()
    a.start()
    time.sleep(COOL_DOWN_SECONDS)
    expect(port, "with A back, its new key is fetched at once", second_of_a, 200)
    expect(port, "with A back, its old key is still good", first_of_a, 200)
    expect(port, "with B gone, its new key cannot be fetched", third_of_b, 503)
    expect(port, "with B gone, its cached keys serve", second_of_b, 200)

    b.start()
    time.sleep(COOL_DOWN_SECONDS)
    expect(port, "with B back, its new key is fetched at once", third_of_b, 200)


def main():
    running = []
    with tempfile.TemporaryDirectory() as directory:
        try:
            trial(pathlib.Path(directory), running)
        finally:
            for one in running:
                one.stop()


main()
