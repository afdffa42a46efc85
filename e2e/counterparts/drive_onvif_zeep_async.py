"""Drives a camera by the PyPI client onvif-zeep-async, which takes nothing that is not in ONVIF's WSDLs.

Every operation of the services it knows that a camera with a motor has; what is set is read back.
Needs ADDRESS (host:port), LOGIN (user:password) and SERIAL; the camera keeps one preset afterwards, looks to
the right, and is turned by 180°. Where CLIPS is set, it has a card with so many clips.
"""

import asyncio
import os
from datetime import datetime, timedelta, timezone

from onvif import ONVIFCamera
from zeep.exceptions import Fault

host, port = os.environ["ADDRESS"].rsplit(":", 1)
user, password = os.environ["LOGIN"].split(":", 1)
serial = os.environ["SERIAL"]


def values(read, name):
    """Texts of the elements of a name below one, where the schema allows for unknown elements first: then
    all of them are unknown to zeep."""
    found = [element.iter(f"{{http://www.onvif.org/ver10/schema}}{name}") for element in read._value_1]
    return [element.text for elements in found for element in elements]


async def until(what, ask):
    for _ in range(200):
        if await ask():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(what)


async def refused(call):
    try:
        await call
    except Fault:
        return
    raise AssertionError("it was done")


async def drive(camera):
    await camera.update_xaddrs()
    device = await camera.create_devicemgmt_service()
    assert (await device.GetDeviceInformation()).SerialNumber == serial
    services = await device.GetServices({"IncludeCapability": True})
    assert any(service.Namespace == "http://www.onvif.org/ver20/media/wsdl" for service in services), services
    capabilities = await device.GetCapabilities({"Category": "All"})
    assert capabilities.PTZ.XAddr and capabilities.Imaging.XAddr and capabilities.Media.XAddr
    await device.GetServiceCapabilities()
    await device.GetSystemDateAndTime()
    assert await device.GetScopes() and await device.GetNetworkInterfaces() and await device.GetUsers()
    await device.GetHostname()

    media = await camera.create_media_service()
    profiles = await media.GetProfiles()
    token = profiles[0].token
    assert len(profiles) == 2 and (await media.GetProfile({"ProfileToken": token})).token == token
    assert await media.GetVideoSources() and await media.GetVideoEncoderConfigurations()
    assert await media.GetAudioOutputs() and await media.GetAudioOutputConfigurations()
    assert await media.GetAudioDecoderConfigurations()
    capabilities = await media.GetServiceCapabilities()
    assert capabilities.Rotation and capabilities.SnapshotUri, capabilities
    setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
    stream = await media.GetStreamUri({"StreamSetup": setup, "ProfileToken": token})
    assert stream.Uri.startswith("rtsp://"), stream
    await media.SetSynchronizationPoint({"ProfileToken": token})
    picture = await camera.get_snapshot(token)
    assert picture.startswith(b"\xff\xd8\xff"), picture and picture[:16]
    [source] = await media.GetVideoSourceConfigurations()
    options = await media.GetVideoSourceConfigurationOptions({"ProfileToken": token})
    assert values(options.Extension, "Mode") == ["OFF", "ON"], options

    assert values(source, "Mode") == ["OFF"], source
    source._value_1, source.Extension = None, {"Rotate": {"Mode": "ON", "Degree": 180}}
    await media.SetVideoSourceConfiguration({"Configuration": source, "ForcePersistence": True})
    [source] = await media.GetVideoSourceConfigurations()
    assert (values(source, "Mode"), values(source, "Degree")) == (["ON"], ["180"]), source

    imaging = await camera.create_imaging_service()
    sensor = profiles[0].VideoSourceConfiguration.SourceToken
    assert (await imaging.GetOptions({"VideoSourceToken": sensor})).Brightness.Max == 100
    await imaging.GetServiceCapabilities()
    settings = await imaging.GetImagingSettings({"VideoSourceToken": sensor})
    settings.Brightness = 60
    ask = {"VideoSourceToken": sensor, "ImagingSettings": settings, "ForcePersistence": False}
    await imaging.SetImagingSettings(ask)
    assert (await imaging.GetImagingSettings({"VideoSourceToken": sensor})).Brightness == 60

    ptz = await camera.create_ptz_service()
    [node] = await ptz.GetNodes()
    assert (await ptz.GetNode({"NodeToken": node.token})).MaximumNumberOfPresets > 0
    [configuration] = await ptz.GetConfigurations()
    await ptz.GetConfiguration({"PTZConfigurationToken": configuration.token})
    await ptz.GetConfigurationOptions({"ConfigurationToken": configuration.token})
    await ptz.GetServiceCapabilities()

    async def status():
        return await ptz.GetStatus({"ProfileToken": token})

    async def pan():
        return (await status()).Position.PanTilt.x

    async def is_still():
        now = (await status()).MoveStatus
        return now.PanTilt == "IDLE" and now.Zoom == "IDLE"

    async def moved_by(ask, way):
        before = await pan()
        await ask
        await until("it moves", lambda: after(before, way))

    async def after(before, way):
        return (await pan() - before) * way > 0.05

    velocity = {"PanTilt": {"x": 0.5, "y": 0}, "Zoom": {"x": 0}}
    await moved_by(ptz.ContinuousMove({"ProfileToken": token, "Velocity": velocity}), 1)
    await ptz.Stop({"ProfileToken": token, "PanTilt": True, "Zoom": True})
    assert await is_still()
    await moved_by(ptz.RelativeMove({"ProfileToken": token, "Translation": {"PanTilt": {"x": -0.3, "y": 0.1}}}), -1)
    await until("it arrives", is_still)
    await ptz.AbsoluteMove({"ProfileToken": token, "Position": {"PanTilt": {"x": 0.5, "y": 0}, "Zoom": {"x": 0}}})
    await until("it arrives", is_still)
    assert abs(await pan() - 0.5) < 0.001

    preset = await ptz.SetPreset({"ProfileToken": token, "PresetName": "Gate"})
    [kept] = await ptz.GetPresets({"ProfileToken": token})
    assert kept.token == preset and kept.Name == "Gate" and kept.PTZPosition.PanTilt.x == 0.5, kept
    await ptz.AbsoluteMove({"ProfileToken": token, "Position": {"PanTilt": {"x": -0.5, "y": 0}}})
    await until("it arrives", is_still)
    await ptz.GotoPreset({"ProfileToken": token, "PresetToken": preset})
    await until("it arrives", is_still)
    assert abs(await pan() - 0.5) < 0.001
    other = await ptz.SetPreset({"ProfileToken": token})
    await ptz.RemovePreset({"ProfileToken": token, "PresetToken": other})
    assert len(await ptz.GetPresets({"ProfileToken": token})) == 1
    await refused(ptz.GotoPreset({"ProfileToken": token, "PresetToken": other}))


async def results(ask, token, name):
    """All results of a search, two at a time."""
    found = []
    while True:
        page = await ask({"SearchToken": token, "MaxResults": 2, "WaitTime": timedelta(seconds=1)})
        found += page[name]
        assert len(page[name]) <= 2, page
        if page.SearchState == "Completed":
            return found


async def look_back(camera, clips):
    recording = await camera.create_recording_service()
    [item] = await recording.GetRecordings()
    token = item.RecordingToken
    assert [track.Configuration.TrackType for track in item.Tracks.Track] == ["Video", "Audio"], item
    assert (await recording.GetRecordingConfiguration({"RecordingToken": token})).Source.SourceId == "main"
    await recording.GetServiceCapabilities()

    search = await camera.create_search_service()
    await search.GetServiceCapabilities()
    summary = await search.GetRecordingSummary()
    assert summary.NumberRecordings == 1 and summary.DataFrom < summary.DataUntil, summary
    known = await search.GetRecordingInformation({"RecordingToken": token})
    assert known.EarliestRecording == summary.DataFrom and known.RecordingStatus == "Stopped", known
    [attributes] = await search.GetMediaAttributes({"RecordingTokens": [token], "Time": summary.DataFrom})
    assert attributes.TrackAttributes[0].VideoAttributes.Encoding == "H264", attributes
    begun = await search.FindRecordings({"Scope": {}, "KeepAliveTime": timedelta(seconds=10)})
    [found] = await results(search.GetRecordingSearchResults, begun, "RecordingInformation")
    assert found.RecordingToken == token and len(found.Track) == 2, found
    await search.EndSearch({"SearchToken": begun})
    ask = {
        "StartPoint": datetime(2020, 1, 1, tzinfo=timezone.utc),
        "Scope": {"IncludedRecordings": [token]},
        "SearchFilter": {},
        "IncludeStartState": False,
        "KeepAliveTime": timedelta(seconds=10),
    }
    begun = await search.FindEvents(ask)
    found = await results(search.GetEventSearchResults, begun, "Result")
    assert await search.GetSearchState({"SearchToken": begun}) == "Completed"
    await search.EndSearch({"SearchToken": begun})
    # The recording and its two tracks begin and end with each clip.
    assert len(found) == clips * 6, found
    assert all(event.RecordingToken == token and not event.StartStateEvent for event in found), found
    assert [event.Time for event in found] == sorted(event.Time for event in found)
    await refused(search.GetEventSearchResults({"SearchToken": begun}))

    replay = await camera.create_replay_service()
    assert not (await replay.GetServiceCapabilities()).ReversePlayback
    await replay.GetReplayConfiguration()
    setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
    uri = await replay.GetReplayUri({"StreamSetup": setup, "RecordingToken": token})
    assert uri.startswith("rtsp://"), uri
    await refused(replay.GetReplayUri({"StreamSetup": setup, "RecordingToken": token + "9"}))


async def main():
    stranger = ONVIFCamera(host, int(port), user, password + "!")
    try:
        # Which services there are is everybody's to know (ONVIF Core, access class PRE_AUTH).
        await stranger.update_xaddrs()
        await refused((await stranger.create_devicemgmt_service()).GetDeviceInformation())
    finally:
        await stranger.close()
    camera = ONVIFCamera(host, int(port), user, password, adjust_time=True)
    try:
        await drive(camera)
        if "CLIPS" in os.environ:
            await look_back(camera, int(os.environ["CLIPS"]))
    finally:
        await camera.close()
    print("all calls answered")


asyncio.run(main())
