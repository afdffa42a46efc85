#!/usr/bin/python3
"""A camera nobody here wrote: GStreamer's RTSP server with digest login and live test media.

Prints `port N` once it listens on loopback, serves rtsp://127.0.0.1:N/main and /sub, and ends when
its standard input closes, so that it never outlives the test that started it. With --speaker it is an
ONVIF camera whose /main has an audio back channel: what is spoken through it is written to a WAV file.

Needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-{base,good,ugly,bad}
and gstreamer1.0-libav.
"""

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

VIDEO = {
    # B-frames on demand: real cameras send none, but our clocks must survive them.
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max={gop} bframes={bframes}"
    " b-adapt=false ! video/x-h264,profile={profile} ! rtph264pay name=pay0 pt=96 config-interval={config}",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max={gop}"
    " ! rtph265pay name=pay0 pt=96 config-interval={config}",
}
AUDIO = {
    "aac": "audio/x-raw,rate=16000,channels=1 ! avenc_aac bitrate=32000 ! rtpmp4gpay name=pay1 pt=97",
    "pcma": "audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8",
    "pcmu": "audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0",
}

# What a back channel takes: its RTP, depayloader and decoder.
SPEAKER = {
    "pcma": ("payload=8, clock-rate=8000, encoding-name=PCMA", "rtppcmadepay ! alawdec"),
    "pcmu": ("payload=0, clock-rate=8000, encoding-name=PCMU", "rtppcmudepay ! mulawdec"),
    "aac": (
        "payload=97, clock-rate=16000, encoding-name=MPEG4-GENERIC, encoding-params=(string)1, streamtype=(string)5,"
        " mode=(string)AAC-hbr, config=(string)1408, sizelength=(string)13, indexlength=(string)3,"
        " indexdeltalength=(string)3",
        "rtpmp4gdepay ! avdec_aac",
    ),
}


def speaker(args):
    rtp, decode = SPEAKER[args.speaker_codec]
    # Unbuffered: a test reads while it is written.
    return (
        f'( capsfilter caps="application/x-rtp, media=audio, {rtp}"'
        f" name=depay_backchannel ! {decode} ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=8000,channels=1"
        f' ! wavenc ! filesink buffer-mode=unbuffered async=false sync=false location="{args.speaker}" )'
    )


def launch(args, width, height):
    video = VIDEO[args.codec].format(
        gop=args.fps * 2,
        bframes=args.bframes,
        profile="main" if args.bframes else "constrained-baseline",
        config=-1 if args.in_band else 0,
    )
    parts = [
        f"videotestsrc is-live=true ! video/x-raw,format=I420,width={width},height={height},framerate={args.fps}/1"
        f" ! {video}"
    ]
    if args.audio != "none":
        parts.append(f"audiotestsrc is-live=true freq=440 ! audioconvert ! audioresample ! {AUDIO[args.audio]}")
    return "( " + " ".join(parts) + " )"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--user", default="", help="no login without it")
    parser.add_argument("--password", default="")
    parser.add_argument("--codec", choices=VIDEO, default="h264")
    parser.add_argument("--audio", choices=[*AUDIO, "none"], default="aac")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--bframes", type=int, default=0, help="H.264 only")
    parser.add_argument("--speaker", default="", metavar="FILE", help="WAV file that a back channel is written to")
    parser.add_argument("--speaker-codec", choices=SPEAKER, default="pcma")
    parser.add_argument("--in-band", action="store_true", help="repeat parameter sets before each key frame")
    args = parser.parse_args()

    Gst.init(None)
    server = (GstRtspServer.RTSPOnvifServer if args.speaker else GstRtspServer.RTSPServer)()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    for path, width, height in (("/main", 1280, 720), ("/sub", 640, 360)):
        if args.speaker and path == "/main":
            factory = GstRtspServer.RTSPOnvifMediaFactory()
            factory.set_media_gtype(GstRtspServer.RTSPOnvifMedia.__gtype__)
            factory.set_backchannel_launch(speaker(args))
        else:
            factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch(args, width, height))
        factory.set_shared(True)
        if args.user:
            permissions = GstRtspServer.RTSPPermissions()
            for role, allowed in (("user", True), ("anonymous", False)):
                structure = Gst.Structure.new_empty(role)
                structure.set_value("media.factory.access", allowed)
                structure.set_value("media.factory.construct", allowed)
                permissions.add_role_from_structure(structure)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, factory)
    if args.user:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_digest(args.user, args.password, token)
        server.set_auth(auth)
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    print("port", server.get_bound_port(), flush=True)

    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    # A medium nobody watches any more is freed by this.
    GLib.timeout_add_seconds(5, lambda: server.get_session_pool().cleanup() is not None)
    loop.run()


if __name__ == "__main__":
    main()
