#!/usr/bin/env bash
# Renders the phrases beside this file. Needs espeak-ng and ffmpeg.
set -euo pipefail
cd "$(dirname "$0")"

# render NAME TEXT: evenly loud, without silence at its ends.
render() {
  espeak-ng -v cmn -s 180 -p 45 --stdout "$2" |
    ffmpeg -v error -y -i - -af 'silenceremove=start_periods=1:start_threshold=-45dB,areverse,silenceremove=start_periods=1:start_threshold=-45dB,areverse,highpass=f=120,speechnorm=e=6:p=0.9,apad=pad_dur=0.15' \
      -ar 16000 -ac 1 -c:a libmp3lame -b:a 32k -map_metadata -1 -id3v2_version 0 -write_xing 0 -bitexact "$1.mp3"
}

render welcome '欢迎光临'
render goodbye '谢谢惠顾，欢迎下次光临'
render monitored '您已进入监控区域'
render danger '危险区域，请勿靠近'
render private '私人区域，请尽快离开'
render parcel '快递请放在门口'
render door '请随手关门'
