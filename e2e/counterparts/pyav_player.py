"""Plays an address with the FFmpeg that PyAV brings, which is newer than Debian's and reads enhanced FLV.

Decodes some pictures and prints, as JSON, the codecs and what the last picture looks like: its size and the
mean luma in the middle of seven columns, as the bars of a test picture have it.
"""

import json
import sys

import av

address, pictures = sys.argv[1], int(sys.argv[2])
options = {"rw_timeout": "20000000"}
if address.startswith("rtmp"):
    # Sent as fourCcList; without it a server must think that the player cannot take H.265.
    options["rtmp_enhanced_codecs"] = "hvc1"
with av.open(address, options=options) as container:
    codecs = sorted(stream.codec_context.name for stream in container.streams)
    decoded = 0
    for picture in container.decode(video=0):
        decoded += 1
        if decoded == pictures:
            break
    luma = picture.planes[0]
    rows, samples = picture.height // 4, bytes(luma)

    def column(n):
        at = picture.width * (2 * n + 1) // 14
        return sum(samples[rows * luma.line_size + at - 4 : rows * luma.line_size + at + 4]) // 8

    bars = [column(n) for n in range(7)]
print(json.dumps({"codecs": codecs, "decoded": decoded, "size": [picture.width, picture.height], "bars": bars}))
