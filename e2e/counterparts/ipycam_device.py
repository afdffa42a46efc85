"""A camera nobody here wrote: the ONVIF half of PyPI's ipycam, with its motor, presets and login.

Prints `port N` once it listens on loopback, and ends when its standard input closes. Its RTSP server, which
needs go2rtc, and its answers to WS-Discovery, which are meant for a whole network, are not started.
"""

import os
import sys
import tempfile
import threading
from unittest.mock import MagicMock

# For its pictures alone, of which it shows none here, and a quarter of a gigabyte large.
sys.modules.update(cv2=MagicMock(), numpy=MagicMock())

from ipycam import CameraConfig, IPCamera, IPCameraHTTPHandler  # noqa: E402
from ipycam.camera import ReusableThreadingTCPServer  # noqa: E402

# It keeps its presets where it is started.
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    server = ReusableThreadingTCPServer(("127.0.0.1", 0), IPCameraHTTPHandler)
    port = server.server_address[1]
    config = CameraConfig(local_ip="127.0.0.1", onvif_port=port, username="admin", password=sys.argv[1])
    camera = IPCameraHTTPHandler.camera = IPCamera(config)
    # Its answers about the motor use two prefixes that they do not declare, which makes them no XML.
    wrap, motor = camera.onvif._wrap_envelope, "http://www.onvif.org/ver20/ptz/wsdl"
    declared = f'<s:Envelope xmlns:ptz="{motor}" xmlns:tptz="{motor}"'
    camera.onvif._wrap_envelope = lambda body: wrap(body).replace("<s:Envelope", declared, 1)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("port", port, flush=True)
    sys.stdin.read()
