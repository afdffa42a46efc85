//! Derived streams: a stream with its sound as a viewer takes it, made once for all who need it.
//!
//! RTMP and FLV players want AAC where many cameras send G.711, and a viewer may want no sound at all.
//! Either is a stream of its own in the hub, named after its base and written by one task that reads
//! the base: pictures are handed on with their payload shared, sound is made anew or left out. It
//! begins with its first viewer, lingers as any source does, and ends with its base. Any stream of the
//! hub can be a base, whatever writes it.

use std::pin::pin;
use std::sync::Arc;

use av::transcode::{EncodeError, ToAac};
use av::{CodecKind, Frame, MediaKind, Track};
use media::{Closed, Hub, Item, OpenError, StreamId, StreamWriter, Subscription, Viewing};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info_span};

/// What becomes of the sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// G.711 is made into AAC.
    Aac,
    /// It is left out.
    Mute,
}

impl Sound {
    /// What a viewer over RTMP or FLV needs; `None` where the stream is right as it is. Sound without
    /// picture is not left out: nothing would remain.
    pub fn needed(tracks: &[Track], mute: bool) -> Option<Sound> {
        let has = |kind: MediaKind| tracks.iter().any(|track| track.kind() == kind);
        match mute && has(MediaKind::Video) {
            true => has(MediaKind::Audio).then_some(Sound::Mute),
            false => tracks.iter().any(|track| track.codec.kind() == CodecKind::G711).then_some(Sound::Aac),
        }
    }

    /// What the name of the base is followed by. No serial number has a colon.
    fn suffix(self) -> &'static str {
        match self {
            Sound::Aac => ":aac",
            Sound::Mute => ":mute",
        }
    }
}

/// The derived stream, running; whoever comes first starts it.
///
/// # Errors
/// As [`Hub::open`].
pub async fn open(
    hub: &Hub,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
    base: &Viewing,
    sound: Sound,
) -> Result<Viewing, OpenError> {
    let id = StreamId::new(format!("{}{}", base.stream().id(), sound.suffix()));
    loop {
        if let Ok(writer) = hub.publish(id.clone()) {
            let derived = Derived { writer, remake: Remake::new(sound) };
            let task = derived.run(base.clone().subscribe(), cancel.clone());
            tasks.spawn(task.instrument(info_span!("derived", stream = %id)));
        }
        match hub.open(&id).await {
            // It ended between our look and our word: the next one is new, if there still is a base.
            Err(OpenError::NotFound) => match base.stream().end() {
                Some(end) => return Err(OpenError::Failed(end)),
                None => continue,
            },
            opened => return opened,
        }
    }
}

/// Makes the sound of what a stream or footage gives as a viewer takes it.
pub struct Remake {
    sound: Sound,
    to_aac: Option<ToAac>,
    made: Vec<Frame>,
}

impl Remake {
    /// One that does this to sound; what is AAC already stays as it is.
    pub fn new(sound: Sound) -> Remake {
        Remake { sound, to_aac: None, made: Vec::new() }
    }

    /// Takes an item and appends what becomes of it.
    ///
    /// # Errors
    /// If the coder fails; this is of no more use then.
    pub fn push(&mut self, item: Item, out: &mut Vec<Item>) -> Result<(), EncodeError> {
        match item {
            Item::Tracks(tracks) => out.push(Item::Tracks(self.set_tracks(&tracks)?)),
            Item::Frame(frame) => match &mut self.to_aac {
                Some(to_aac) if to_aac.from().id == frame.track => {
                    to_aac.push(&frame, &mut self.made)?;
                    out.extend(self.made.drain(..).map(|frame| Item::Frame(Arc::new(frame))));
                }
                _ => out.push(Item::Frame(frame)),
            },
            // What is missing shows in the timestamps.
            Item::Gap { .. } => {}
        }
        Ok(())
    }

    /// Forgets the sound that was not made yet: what comes next does not follow on it.
    ///
    /// # Errors
    /// As [`Remake::push`].
    pub fn restart(&mut self) -> Result<(), EncodeError> {
        if let Some(to_aac) = &self.to_aac {
            self.to_aac = ToAac::new(to_aac.from())?;
        }
        Ok(())
    }

    fn set_tracks(&mut self, tracks: &[Track]) -> Result<Arc<[Track]>, EncodeError> {
        let has_video = tracks.iter().any(|track| track.kind() == MediaKind::Video);
        let mut remade = Vec::with_capacity(tracks.len());
        for track in tracks {
            match (track.kind(), self.sound) {
                (MediaKind::Video, _) => remade.push(track.clone()),
                (MediaKind::Audio, Sound::Mute) if has_video => {}
                (MediaKind::Audio, _) => {
                    if self.to_aac.as_ref().is_none_or(|to_aac| to_aac.from() != track) {
                        self.to_aac = ToAac::new(track)?;
                    }
                    remade.push(self.to_aac.as_ref().map_or(track, ToAac::track).clone());
                }
            }
        }
        Ok(remade.into())
    }
}

struct Derived {
    writer: StreamWriter,
    remake: Remake,
}

impl Derived {
    async fn run(mut self, mut base: Subscription, cancel: CancellationToken) {
        let mut unwatched = pin!(self.writer.unwatched());
        let (mut items, mut made) = (Vec::new(), Vec::new());
        debug!("begins");
        let end = loop {
            let read = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = &mut unwatched => return debug!("nobody watches"),
                read = base.read(&mut items) => read,
            };
            if let Err(error) = items.drain(..).try_for_each(|item| self.remake.push(item, &mut made)) {
                break media::End { step: "sound", cause: error.to_string() };
            }
            made.drain(..).for_each(|item| self.write(item));
            if let Err(Closed(end)) = read {
                break end;
            }
        };
        self.writer.fail(end.step, end.cause);
    }

    fn write(&mut self, item: Item) {
        match item {
            Item::Tracks(tracks) => self.writer.set_tracks(tracks.to_vec()),
            // A copy of what describes it; the payload is shared. A track that is unknown is one that was
            // left out.
            Item::Frame(frame) => {
                self.writer.write(Arc::unwrap_or_clone(frame)).ok();
            }
            Item::Gap { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use av::codec::aac;
    use av::{CodecParameters, G711Law, G711Parameters, H264Parameters, Ticks, TrackId, UnixMicros};
    use bytes::Bytes;
    use media::HubSettings;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn video() -> Track {
        let none = Bytes::new();
        let codec = CodecParameters::H264(H264Parameters { sps: none.clone(), pps: none, width: 16, height: 16 });
        Track { id: TrackId::VIDEO, codec, clock_rate: 90_000 }
    }

    fn g711(law: G711Law) -> Track {
        let codec = CodecParameters::G711(G711Parameters { law, sample_rate: 8_000, channels: 1 });
        Track { id: TrackId::AUDIO, codec, clock_rate: 8_000 }
    }

    fn aac() -> Track {
        let config = aac::config(aac::OBJECT_TYPE_LC, 44_100, 2).unwrap();
        let codec = CodecParameters::Aac(aac::parameters(config).unwrap());
        Track { id: TrackId::AUDIO, codec, clock_rate: 44_100 }
    }

    /// A camera with a hub around it.
    struct Camera {
        hub: Hub,
        writer: StreamWriter,
        tasks: TaskTracker,
        cancel: CancellationToken,
        seconds: i64,
    }

    impl Camera {
        fn new(tracks: Vec<Track>) -> Camera {
            let hub = Hub::new(HubSettings::default());
            let mut writer = hub.publish(StreamId::new("CAM_1_1")).unwrap();
            writer.set_tracks(tracks);
            Camera { hub, writer, tasks: TaskTracker::new(), cancel: CancellationToken::new(), seconds: 0 }
        }

        /// Writes a second: a key frame, and sound in pieces of 20 ms. Gives the key frame's payload.
        fn second(&mut self, audio: &Track) -> Bytes {
            let picture = Bytes::from(vec![self.seconds as u8; 5_000]);
            let frame = |track: &Track, at: i64, data| Frame {
                track: track.id,
                dts: Ticks(at),
                cts: 0,
                wall: UnixMicros(0),
                key: true,
                data,
            };
            self.writer.write(frame(&video(), self.seconds * 90_000, picture.clone())).unwrap();
            let rate = i64::from(audio.clock_rate);
            for n in 0..50 {
                let at = self.seconds * rate + n * rate / 50;
                self.writer.write(frame(audio, at, Bytes::from(vec![0xD5; 160]))).unwrap();
            }
            self.seconds += 1;
            picture
        }

        async fn open(&self, sound: Sound) -> Viewing {
            let base = self.hub.open(self.writer.stream().id()).await.unwrap();
            open(&self.hub, &self.tasks, &self.cancel, &base, sound).await.unwrap()
        }
    }

    /// Reads until `enough` frames came; gives the codecs announced last, and the frames.
    async fn read(subscription: &mut Subscription, enough: usize) -> (Vec<CodecKind>, Vec<Arc<Frame>>) {
        let (mut items, mut codecs, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        while frames.len() < enough {
            timeout(PATIENCE, subscription.read(&mut items)).await.expect("frames in time").unwrap();
            for item in items.drain(..) {
                match item {
                    Item::Tracks(tracks) => codecs = tracks.iter().map(|track| track.codec.kind()).collect(),
                    Item::Frame(frame) => frames.push(frame),
                    Item::Gap { .. } => panic!("nothing is lost"),
                }
            }
        }
        (codecs, frames)
    }

    #[test]
    fn needed_only_where_something_is_to_be_done() {
        let needed = |tracks: &[Track], mute| Sound::needed(tracks, mute);
        assert_eq!(needed(&[video(), g711(G711Law::A)], false), Some(Sound::Aac));
        assert_eq!(needed(&[g711(G711Law::Mu)], false), Some(Sound::Aac));
        assert_eq!(needed(&[video(), aac()], false), None);
        assert_eq!(needed(&[video()], false), None);
        assert_eq!(needed(&[video(), aac()], true), Some(Sound::Mute));
        assert_eq!(needed(&[video()], true), None);
        assert_eq!(needed(&[g711(G711Law::A)], true), Some(Sound::Aac));
    }

    #[tokio::test(start_paused = true)]
    async fn all_viewers_share_one_with_the_pictures_of_its_base() {
        let (sound, mut camera) = (g711(G711Law::A), Camera::new(vec![video(), g711(G711Law::A)]));
        let picture = camera.second(&sound);
        let (one, other) = tokio::join!(camera.open(Sound::Aac), camera.open(Sound::Aac));
        assert!(Arc::ptr_eq(one.stream(), other.stream()));
        assert_eq!(one.stream().id().as_str(), "CAM_1_1:aac");
        // 16,000 samples are 15 frames of 1,024 and a rest.
        let mut heard = one.subscribe();
        let (codecs, frames) = read(&mut heard, 16).await;
        assert_eq!(codecs, [CodecKind::H264, CodecKind::Aac]);
        assert_eq!(frames[0].data.as_ptr(), picture.as_ptr(), "the payload is not copied");
        // The coder's run-up lies before the first picture, where nothing can be.
        let stamps: Vec<i64> = frames[3..].iter().map(|frame| frame.dts.0).collect();
        assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] == 1_024), "{stamps:?}");
        assert!(frames[1..].iter().all(|frame| frame.track == TrackId::AUDIO && frame.data[0] != 0xD5));

        // It goes on with its base, and whoever wants none has none.
        let mute = camera.open(Sound::Mute).await;
        let picture = camera.second(&sound);
        let (_, frames) = read(&mut heard, 1).await;
        assert_eq!(frames[0].data, picture);
        let (codecs, frames) = read(&mut mute.subscribe(), 1).await;
        assert_eq!((codecs, frames.len()), (vec![CodecKind::H264], 1));
        assert_eq!(frames[0].data.as_ptr(), picture.as_ptr());
    }

    #[tokio::test(start_paused = true)]
    async fn a_camera_that_changes_its_sound_is_followed() {
        let mut camera = Camera::new(vec![video(), g711(G711Law::A)]);
        camera.second(&g711(G711Law::A));
        let mut heard = camera.open(Sound::Aac).await.subscribe();
        read(&mut heard, 16).await;
        camera.writer.set_tracks(vec![video(), aac()]);
        camera.second(&aac());
        let (codecs, frames) = read(&mut heard, 51).await;
        assert_eq!(codecs, [CodecKind::H264, CodecKind::Aac]);
        assert!(frames[1..].iter().all(|frame| frame.data[..] == [0xD5; 160]), "AAC is passed on as it is");
        let announced = heard.stream().tracks().unwrap();
        assert_eq!(announced[1], aac());
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_its_base_and_when_nobody_watches() {
        let sound = g711(G711Law::Mu);
        let mut camera = Camera::new(vec![video(), sound.clone()]);
        camera.second(&sound);
        let id = StreamId::new("CAM_1_1:aac");
        drop(camera.open(Sound::Aac).await);
        assert!(camera.hub.is_live(&id), "it lingers");
        camera.tasks.close();
        timeout(2 * HubSettings::default().linger, camera.tasks.wait()).await.expect("no longer than any source");
        assert!(!camera.hub.is_live(&id));
        assert_eq!(camera.writer.stream().viewers(), 0);

        let mut heard = camera.open(Sound::Aac).await.subscribe();
        camera.writer.fail("test", "the camera is gone");
        let mut items = Vec::new();
        let end = loop {
            if let Err(Closed(end)) = timeout(PATIENCE, heard.read(&mut items)).await.expect("an end in time") {
                break end;
            }
        };
        assert_eq!((end.step, end.cause.as_str()), ("test", "the camera is gone"));
        assert!(!camera.hub.is_live(&id));
    }
}
