#!/usr/bin/python3
"""A recorder nobody here wrote: GStreamer's ONVIF replay server over a recording of its own making.

Prints `port N` once it listens on loopback, serves rtsp://127.0.0.1:N/replay/rec (ONVIF Streaming, playback) and
ends when its standard input closes, so that it never outlives the test that started it. The recording begins
at --begin, lasts --seconds, and has a key frame each second. What it plays is seen by its owner alone: each
client has a pipeline of its own.

Needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-{base,good,ugly,bad}.
"""

import argparse
import os
import sys
import tempfile
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

# Seconds from 1900, which `clock=` ranges count from, to 1970.
NTP = 2_208_988_800


def record(path, seconds, fps):
    pipeline = Gst.parse_launch(
        f"videotestsrc num-buffers={seconds * fps} ! video/x-raw,format=I420,width=320,height=240,framerate={fps}/1"
        f" ! x264enc speed-preset=ultrafast key-int-max={fps} bframes=0 ! h264parse ! matroskamux"
        f" ! filesink location={path}"
    )
    pipeline.set_state(Gst.State.PLAYING)
    ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, ends)
    pipeline.set_state(Gst.State.NULL)
    if message is None or message.type != Gst.MessageType.EOS:
        sys.exit("cannot record")


class Recording(GstRtspServer.RTSPOnvifMediaFactory):
    """Plays a file that begins at a moment of the clock."""

    def __init__(self, path, begin):
        super().__init__()
        self.path = path
        self.begin = (begin + NTP) * Gst.SECOND
        self.set_media_gtype(GstRtspServer.RTSPOnvifMedia.__gtype__)
        self.set_replay_support(True)

    def do_create_element(self, _url):
        read = f"filesrc location={self.path} ! matroskademux ! queue name=clock ! h264parse name=last"
        # By hand: the queue, which is linked once the file is open, would get a pad outside too.
        source = Gst.parse_bin_from_description(read, False)
        source.add_pad(Gst.GhostPad.new("src", source.get_by_name("last").get_static_pad("src")))
        # The extension is part of what makes packets, as the server sees it.
        packets = (
            "rtph264pay pt=96 config-interval=-1"
            f" ! rtponviftimestamp ntp-offset={self.begin} set-e-bit=true set-t-bit=true"
        )
        payloader = Gst.parse_bin_from_description(packets, True)
        payloader.set_name("pay0")
        whole = Gst.Bin.new(None)
        whole.add(source)
        whole.add(payloader)
        source.link(payloader)
        pad = source.get_by_name("clock").get_static_pad("src")
        pad.add_probe(Gst.PadProbeType.EVENT_UPSTREAM, self.seek)
        return whole

    def seek(self, pad, info):
        """Seeks come in time since 1900; the file begins at 0."""
        event = info.get_event()
        if event.type != Gst.EventType.SEEK:
            return Gst.PadProbeReturn.OK
        rate, form, flags, start_type, start, stop_type, stop = event.parse_seek()
        start, stop = (max(at - self.begin, 0) if at >= NTP * Gst.SECOND else at for at in (start, stop))
        here = Gst.Event.new_seek(rate, form, flags, start_type, start, stop_type, stop)
        here.set_seqnum(event.get_seqnum())
        pad.get_parent_element().get_static_pad("sink").push_event(here)
        return Gst.PadProbeReturn.HANDLED


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--begin", type=int, required=True, help="seconds since 1970")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--fps", type=int, default=10)
    args = parser.parse_args()
    Gst.init(None)
    folder = tempfile.TemporaryDirectory()
    recording = os.path.join(folder.name, "recording.mkv")
    record(recording, args.seconds, args.fps)

    server = GstRtspServer.RTSPOnvifServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.get_mount_points().add_factory("/replay/rec", Recording(recording, args.begin))
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    print("port", server.get_bound_port(), flush=True)

    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    GLib.timeout_add_seconds(5, lambda: server.get_session_pool().cleanup() is not None)
    loop.run()


if __name__ == "__main__":
    main()
