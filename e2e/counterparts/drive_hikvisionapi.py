"""Drives a camera by the PyPI client hikvisionapi, which speaks to Hikvision devices and makes of any path
a call.

Every resource that our camera has but sound, for which the client has no call. Needs ADDRESS (host:port),
LOGIN (user:password), SERIAL and CHANNELS; each channel keeps one preset afterwards, looks to the right, is
mirrored, and is covered if its number is even.
"""

import os
import time

import requests
import xmltodict
from hikvisionapi import Client

address = f"http://{os.environ['ADDRESS']}"
user, password = os.environ["LOGIN"].split(":", 1)
channels = int(os.environ["CHANNELS"])


def xml(name, **fields):
    return xmltodict.unparse({name: {"@version": "2.0", **fields}})


def done(answer):
    assert answer["ResponseStatus"]["statusCode"] == "1", answer


def refused(status, call, **arguments):
    try:
        call(**arguments)
    except requests.HTTPError as error:
        assert error.response.status_code == status, error
    else:
        raise AssertionError("it was done")


def until(what, ask):
    for _ in range(200):
        if ask():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def listed(answer, name, element):
    rows = answer[name][element]
    return rows if isinstance(rows, list) else [rows]


def drive(api, number):
    stream = f"{number}01"
    settings = api.Streaming.channels[stream](method="get")["StreamingChannel"]
    assert settings["Video"]["videoCodecType"] == "H.264", settings
    picture = api.Streaming.channels[stream].picture(method="get", type="opaque_data")
    assert picture.content.startswith(b"\xff\xd8\xff")
    done(api.Streaming.channels[stream].requestKeyFrame(method="put"))

    motor = api.PTZCtrl.channels[number]

    def azimuth():
        return int(motor.status(method="get")["PTZStatus"]["AbsoluteHigh"]["azimuth"])

    assert motor.capabilities(method="get")["PTZChanelCap"]["ContinuousPanTiltSpace"]
    before = azimuth()
    done(motor.continuous(method="put", data=xml("PTZData", pan=60, tilt=0, zoom=0)))
    until("it turns right", lambda: azimuth() > before + 100)
    done(motor.continuous(method="put", data=xml("PTZData", pan=0, tilt=0, zoom=0)))
    place = azimuth()
    done(motor.presets[1](method="put", data=xml("PTZPreset", enabled="true", id=1, presetName="Gate")))
    preset = motor.presets[1](method="get")["PTZPreset"]
    assert preset["presetName"] == "Gate" and int(preset["AbsoluteHigh"]["azimuth"]) == place, preset
    done(motor.continuous(method="put", data=xml("PTZData", pan=-60, tilt=0, zoom=0)))
    until("it turns left", lambda: azimuth() < place - 100)
    done(motor.presets[1].goto(method="put"))
    until("it is back", lambda: azimuth() == place)
    done(motor.presets[2](method="put", data=xml("PTZPreset", enabled="true", id=2, presetName="Door")))
    done(motor.presets[2](method="delete"))
    assert len(listed(motor.presets(method="get"), "PTZPresetList", "PTZPreset")) == 1
    refused(400, motor.presets[2].goto, method="put")
    refused(400, motor.continuous, method="put", data=xml("PTZData", pan=101, tilt=0, zoom=0))

    image = api.Image.channels[number].imageFlip
    assert "CENTER" in image.capabilities(method="get")["ImageFlip"]["ImageFlipStyle"]["@opt"]
    done(image(method="put", data=xml("ImageFlip", enabled="true", ImageFlipStyle="LEFTRIGHT")))
    flip = image(method="get")["ImageFlip"]
    assert (flip["enabled"], flip["ImageFlipStyle"]) == ("true", "LEFTRIGHT"), flip

    mask = api.System.Video.inputs.channels[number].privacyMask
    told = mask(method="get")["PrivacyMask"]
    assert told["enabled"] == "false", told
    width, height = (told["normalizedScreenSize"][f"normalizedScreen{side}"] for side in ("Width", "Height"))
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    corners = [{"positionX": x, "positionY": y} for x, y in corners]
    region = {"id": 1, "enabled": "true", "RegionCoordinatesList": {"RegionCoordinates": corners}}
    if number % 2 == 0:
        size = told["normalizedScreenSize"]
        document = xml(
            "PrivacyMask",
            enabled="true",
            normalizedScreenSize=size,
            PrivacyMaskRegionList={"PrivacyMaskRegion": region},
        )
        done(mask(method="put", data=document))
        assert mask(method="get")["PrivacyMask"]["enabled"] == "true"


try:
    Client(address, user, password + "!")
    raise AssertionError("a wrong password was accepted")
except requests.HTTPError as error:
    assert error.response.status_code == 401, error

api = Client(address, user, password)
about = api.System.deviceInfo(method="get")["DeviceInfo"]
assert about["serialNumber"] == os.environ["SERIAL"], about
assert "<DeviceInfo" in api.System.deviceInfo(method="get", present="text")
assert api.Security.userCheck(method="get")["userCheck"]["statusValue"] == "200"
ports = listed(api.Security.adminAccesses(method="get"), "AdminAccessProtocolList", "AdminAccessProtocol")
assert {port["protocol"] for port in ports} >= {"HTTP", "RTSP"}, ports
streams = listed(api.Streaming.channels(method="get"), "StreamingChannelList", "StreamingChannel")
assert len(streams) == 2 * channels, streams
if channels > 1:
    proxies = listed(
        api.ContentMgmt.InputProxy.channels(method="get"), "InputProxyChannelList", "InputProxyChannel"
    )
    assert len(proxies) == channels, proxies
    states = api.ContentMgmt.InputProxy.channels.status(method="get")
    states = listed(states, "InputProxyChannelStatusList", "InputProxyChannelStatus")
    assert all(state["online"] == "true" for state in states), states
else:
    inputs = listed(api.System.Video.inputs.channels(method="get"), "VideoInputChannelList", "VideoInputChannel")
    assert len(inputs) == 1, inputs
speakers = listed(api.System.TwoWayAudio.channels(method="get"), "TwoWayAudioChannelList", "TwoWayAudioChannel")
assert len(speakers) == channels, speakers
speaker = speakers[0]["id"]
assert api.System.TwoWayAudio.channels[speaker].open(method="put")["TwoWayAudioSession"]["sessionId"]
done(api.System.TwoWayAudio.channels[speaker].close(method="put"))
for number in range(1, channels + 1):
    drive(api, number)
print("all calls answered")
