"""tools/beside-local takes no other server for this service."""

import http.server
import os
import pathlib
import subprocess
import threading
import unittest

TOOL = pathlib.Path(__file__).resolve().parent / "beside-local"


class BesideLocal(unittest.TestCase):
    def test_another_server_on_the_port_is_no_service(self):
        class Other(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            port = server.server_port
            done = subprocess.run([TOOL, "echo", "ran"], env={**os.environ, "LOCAL_PORT": str(port)}, capture_output=True, text=True)
            server.shutdown()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"port {port} is another service", done.stderr)


if __name__ == "__main__":
    unittest.main()
