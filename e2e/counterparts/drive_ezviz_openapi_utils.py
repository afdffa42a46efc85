"""Runs the PyPI client ezviz-openapi-utils against a server.

With BASE set, the client's two host constants are pointed there; without it the client is left
exactly as it is, and the name open.ys7.com must lead to the server.
"""

import os
import sys

from ezviz_openapi_utils.api import EZVIZOpenAPI
from ezviz_openapi_utils.client import Client
from ezviz_openapi_utils.exceptions import EZVIZAPIError, EZVIZAuthError, EZVIZDeviceNotSupportedError
from ezviz_openapi_utils.oauth import AccessToken

base = os.environ.get("BASE")
serial, other, other_code = os.environ["SERIAL"], os.environ["OTHER"], os.environ["OTHER_CODE"]
if base:
    AccessToken._get_url = lambda self: f"{base}/api/lapp/token/get"

client = Client(os.environ["APP_KEY"], os.environ["APP_SECRET"])
assert len(client.access_token) == 64, client.access_token
api = EZVIZOpenAPI(client)
if base:
    api._base_url = base


def expect(answer, what):
    assert answer["code"] == "200", (what, answer)
    return answer.get("data")


def refused(code, call, *args):
    try:
        call(*args)
    except (EZVIZAPIError, EZVIZDeviceNotSupportedError) as error:
        assert str(error.code) == code, (call.__name__, error.code)
    else:
        sys.exit(f"{call.__name__}{args} was answered, {code} was expected")


try:
    Client(os.environ["APP_KEY"], "0" * 32)
    sys.exit("a wrong secret was accepted")
except EZVIZAuthError as error:
    assert str(error.code) == "10030", error

devices = expect(api.list_devices_by_page(), "list_devices_by_page")
assert {d["deviceSerial"] for d in devices} == {serial, other}, devices
rows = expect(api.list_devices_by_id("0"), "list_devices_by_id")
assert len(rows) == 2, rows
info = expect(api.get_device_info(serial), "get_device_info")
assert info["status"] == 1 and info["isEncrypt"] == 0, info
assert expect(api.get_camera_list(), "get_camera_list")
cameras = expect(api.get_device_camera_list(serial), "get_device_camera_list")
assert cameras[0]["channelNo"] == 1, cameras
assert "privacyStatus" in expect(api.get_device_status(serial), "get_device_status")
capacity = expect(api.get_device_capacity(serial), "get_device_capacity")
assert capacity["support_ptz"] == "1" and all(isinstance(v, str) for v in capacity.values()), capacity

expect(api.update_device_name(serial, "大门 Gate"), "update_device_name")
assert expect(api.get_device_info(serial), "get_device_info")["deviceName"] == "大门 Gate"
expect(api.update_camera_name(serial, "Street"), "update_camera_name")
cameras = expect(api.get_device_camera_list(serial), "get_device_camera_list")
assert cameras[0]["channelName"] == "Street", cameras

refused("20017", api.add_device, other, other_code)
expect(api.delete_device(other), "delete_device")
refused("20018", api.get_device_info, other)
refused("20010", api.add_device, other, "WRONGG" if other_code != "WRONGG" else "WRONGH")
expect(api.add_device(other, other_code), "add_device")
assert expect(api.get_device_info(other), "get_device_info")["deviceSerial"] == other
refused("20014", api.get_device_info, "no such serial")
refused("20018", api.get_device_info, "ZZZZZZZZ9")

print("all calls answered")
