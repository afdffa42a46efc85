//! Types of ONVIF's common schema (`onvif.xsd`) that the services share.
//!
//! Names are the schema's; where a demanded part is known to be missing from some cameras' answers,
//! the declaration says what is read instead.

use std::time::Duration;

use av::UnixMicros;

use super::ns::{TNS1, TT, WSNT};
use super::{Content, Error};
use crate::xml::{Attribute, Element};

words! {
    /// `tt:SetDateTimeType`
    SetDateTimeType {
        /// Set by hand.
        Manual = "Manual",
        /// Kept by NTP.
        Ntp = "NTP",
    }

    /// `tt:VideoEncoding`
    VideoEncoding {
        /// Motion JPEG.
        Jpeg = "JPEG",
        /// MPEG-4 part 2.
        Mpeg4 = "MPEG4",
        /// H.264. Media service version 1 has no word for H.265; cameras that have both services
        /// say H.264 here or invent a word.
        H264 = "H264",
    }

    /// `tt:H264Profile`
    H264Profile {
        /// Baseline.
        Baseline = "Baseline",
        /// Main.
        Main = "Main",
        /// Extended.
        Extended = "Extended",
        /// High.
        High = "High",
    }

    /// `tt:AudioEncoding`
    AudioEncoding {
        /// G.711, either law.
        G711 = "G711",
        /// G.726.
        G726 = "G726",
        /// AAC.
        Aac = "AAC",
    }

    /// `tt:StreamType`
    StreamType {
        /// To one receiver.
        RtpUnicast = "RTP-Unicast",
        /// To a group.
        RtpMulticast = "RTP-Multicast",
    }

    /// `tt:TransportProtocol`
    TransportProtocol {
        /// RTP over UDP.
        Udp = "UDP",
        /// Deprecated in the schema.
        Tcp = "TCP",
        /// RTP interleaved in the RTSP connection.
        Rtsp = "RTSP",
        /// RTSP over HTTP.
        Http = "HTTP",
    }

    /// `tt:MoveStatus`
    MoveStatus {
        /// Still.
        Idle = "IDLE",
        /// On the move.
        Moving = "MOVING",
        /// The device does not know.
        Unknown = "UNKNOWN",
    }

    /// `tt:RotateMode`
    RotateMode {
        /// Picture as it comes from the sensor.
        Off = "OFF",
        /// Turned.
        On = "ON",
        /// The device decides.
        Auto = "AUTO",
    }

    /// `tt:TrackType`
    TrackType {
        /// Pictures.
        Video = "Video",
        /// Sound.
        Audio = "Audio",
        /// What is known of both.
        Metadata = "Metadata",
    }

    /// `tt:RecordingStatus`
    RecordingStatus {
        /// Set up, nothing recorded yet.
        Initiated = "Initiated",
        /// Growing.
        Recording = "Recording",
        /// Not growing now.
        Stopped = "Stopped",
        /// Being taken away.
        Removing = "Removing",
        /// Taken away.
        Removed = "Removed",
        /// The device does not know.
        Unknown = "Unknown",
    }

    /// `tt:SearchState`
    SearchState {
        /// Not begun.
        Queued = "Queued",
        /// More may come.
        Searching = "Searching",
        /// All is found.
        Completed = "Completed",
        /// The device does not know.
        Unknown = "Unknown",
    }

    /// `tt:IrCutFilterMode`
    IrCutFilterMode {
        /// Filter in front of the sensor: day.
        On = "ON",
        /// Away: night.
        Off = "OFF",
        /// The device decides.
        Auto = "AUTO",
    }

    /// `tt:IPType`
    IpType {
        /// IPv4.
        V4 = "IPv4",
        /// IPv6.
        V6 = "IPv6",
    }
}

record! {
    /// `tt:Time`
    #[derive(Copy)]
    Time in TT {
        /// 0 to 23.
        hour: i32 = elem "Hour",
        /// 0 to 59.
        minute: i32 = elem "Minute",
        /// 0 to 60.
        second: i32 = elem "Second",
    }

    /// `tt:Date`
    #[derive(Copy)]
    Date in TT {
        /// Four digits.
        year: i32 = elem "Year",
        /// 1 to 12.
        month: i32 = elem "Month",
        /// 1 to 31.
        day: i32 = elem "Day",
    }

    /// `tt:DateTime`
    #[derive(Copy)]
    DateTime in TT {
        /// Time of day.
        time: Time = elem "Time",
        /// Date.
        date: Date = elem "Date",
    }

    /// `tt:TimeZone`
    TimeZone in TT {
        /// POSIX 1003.1 form, such as `CST-8`.
        tz: String = elem "TZ" or String::new(),
    }

    /// `tt:SystemDateTime`
    SystemDateTime in TT {
        /// Who keeps the clock.
        date_time_type: SetDateTimeType = elem "DateTimeType" or SetDateTimeType::Manual,
        /// Whether daylight saving is applied.
        daylight_savings: bool = elem "DaylightSavings" or false,
        /// Time zone.
        time_zone: Option<TimeZone> = elem "TimeZone",
        /// Now, in UTC.
        utc: Option<DateTime> = elem "UTCDateTime",
        /// Now, in the camera's own zone.
        local: Option<DateTime> = elem "LocalDateTime",
    }

    /// `tt:OnvifVersion`
    #[derive(Copy)]
    OnvifVersion in TT {
        /// Major.
        major: i32 = elem "Major",
        /// Minor, two digits: 2.40 is 2 and 40.
        minor: i32 = elem "Minor",
    }

    /// `tt:FloatRange`
    #[derive(Copy)]
    FloatRange in TT {
        /// Least value.
        min: f32 = elem "Min",
        /// Greatest value.
        max: f32 = elem "Max",
    }

    /// `tt:DurationRange`
    #[derive(Copy)]
    DurationRange in TT {
        /// Shortest.
        min: Duration = elem "Min",
        /// Longest.
        max: Duration = elem "Max",
    }

    /// `tt:IntRange`
    #[derive(Copy, Eq)]
    IntRange in TT {
        /// Least value.
        min: i32 = elem "Min",
        /// Greatest value.
        max: i32 = elem "Max",
    }

    /// `tt:IntList`
    #[derive(Default, Eq)]
    IntList in TT {
        /// Values.
        items: Vec<i32> = elem "Items",
    }

    /// `tt:Vector`: a point of the picture, -1 to 1 in both directions.
    #[derive(Copy)]
    Vector in TT {
        /// Right is positive.
        x: f32 = attr "x",
        /// Up is positive.
        y: f32 = attr "y",
    }

    /// `tt:Polygon`
    #[derive(Default)]
    Polygon in TT {
        /// Corners, at least three.
        points: Vec<Vector> = elem "Point",
    }

    /// `tt:Color`
    Color in TT {
        /// First component.
        x: f32 = attr "X",
        /// Second component.
        y: f32 = attr "Y",
        /// Third component.
        z: f32 = attr "Z",
        /// URI of the colour space; YCbCr if absent.
        colorspace: Option<String> = attr "Colorspace",
    }

    /// `tt:ColorOptions`, as a list.
    ColorOptions in TT {
        /// Colours to choose from.
        colors: Vec<Color> = elem "ColorList",
    }

    /// `tt:VideoResolution`
    #[derive(Copy, Eq)]
    VideoResolution in TT {
        /// Pixels.
        width: i32 = elem "Width",
        /// Pixels.
        height: i32 = elem "Height",
    }

    /// `tt:IntRectangle`
    #[derive(Copy, Eq)]
    IntRectangle in TT {
        /// Pixels from the left.
        x: i32 = attr "x",
        /// Pixels from the top.
        y: i32 = attr "y",
        /// Pixels.
        width: i32 = attr "width",
        /// Pixels.
        height: i32 = attr "height",
    }

    /// `tt:Rotate`
    Rotate in TT {
        /// Whether the picture is turned.
        mode: RotateMode = elem "Mode",
        /// Clockwise degrees; 180 if absent.
        degree: Option<i32> = elem "Degree",
    }

    /// `tt:VideoSourceConfigurationExtension`
    VideoSourceConfigurationExtension in TT {
        /// Rotation, where the device can.
        rotate: Option<Rotate> = elem "Rotate",
    }

    /// `tt:VideoSourceConfiguration`
    VideoSourceConfiguration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
        /// The video source: what we call a channel.
        source_token: String = elem "SourceToken",
        /// The part of the source that is used.
        bounds: IntRectangle = elem "Bounds" or IntRectangle { x: 0, y: 0, width: 0, height: 0 },
        /// Rotation.
        extension: Option<VideoSourceConfigurationExtension> = elem "Extension",
    }

    /// `tt:IntRectangleRange`
    #[derive(Copy, Eq)]
    IntRectangleRange in TT {
        /// Pixels from the left.
        x: IntRange = elem "XRange",
        /// Pixels from the top.
        y: IntRange = elem "YRange",
        /// Pixels.
        width: IntRange = elem "WidthRange",
        /// Pixels.
        height: IntRange = elem "HeightRange",
    }

    /// `tt:RotateOptions`
    RotateOptions in TT {
        /// Modes it has.
        modes: Vec<RotateMode> = elem "Mode",
        /// Clockwise degrees it has, besides 0.
        degrees: Option<IntList> = elem "DegreeList",
    }

    /// `tt:VideoSourceConfigurationOptionsExtension`
    VideoSourceConfigurationOptionsExtension in TT {
        /// Rotation, where the device can.
        rotate: Option<RotateOptions> = elem "Rotate",
    }

    /// `tt:VideoSourceConfigurationOptions`
    VideoSourceConfigurationOptions in TT {
        /// Parts of the source that can be used; cameras that have one part leave it out.
        bounds: Option<IntRectangleRange> = elem "BoundsRange",
        /// Video sources that can be used.
        source_tokens: Vec<String> = elem "VideoSourceTokensAvailable",
        /// Rotation.
        extension: Option<VideoSourceConfigurationOptionsExtension> = elem "Extension",
    }

    /// `tt:AudioOutput`: a loudspeaker.
    AudioOutput in TT {
        /// Identifies it.
        token: String = attr "token",
    }

    /// `tt:AudioOutputConfiguration`
    AudioOutputConfiguration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
        /// The loudspeaker.
        output_token: String = elem "OutputToken" or String::new(),
        /// URI that says who is heard when both ends speak.
        send_primacy: Option<String> = elem "SendPrimacy",
        /// Volume, in the device's range.
        output_level: i32 = elem "OutputLevel" or 0,
    }

    /// `tt:AudioDecoderConfiguration`
    AudioDecoderConfiguration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
    }

    /// `tt:AACDecOptions`, `tt:G711DecOptions`, `tt:G726DecOptions`
    #[derive(Default)]
    DecoderOptions in TT {
        /// kbit/s.
        bitrates: IntList = elem "Bitrate" or IntList::default(),
        /// kHz.
        sample_rates: IntList = elem "SampleRateRange" or IntList::default(),
    }

    /// `tt:AudioDecoderConfigurationOptions`: what the device can play.
    #[derive(Default)]
    AudioDecoderConfigurationOptions in TT {
        /// AAC.
        aac: Option<DecoderOptions> = elem "AACDecOptions",
        /// G.711, µ-law at least.
        g711: Option<DecoderOptions> = elem "G711DecOptions",
        /// G.726.
        g726: Option<DecoderOptions> = elem "G726DecOptions",
    }

    /// `tt:AudioSourceConfiguration`
    AudioSourceConfiguration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
        /// The microphone.
        source_token: String = elem "SourceToken",
    }

    /// `tt:VideoRateControl`
    #[derive(Copy, Eq)]
    VideoRateControl in TT {
        /// Frames per second.
        frame_rate_limit: i32 = elem "FrameRateLimit" or 0,
        /// 1 encodes each frame, 2 every other.
        encoding_interval: i32 = elem "EncodingInterval" or 1,
        /// kbit/s.
        bitrate_limit: i32 = elem "BitrateLimit" or 0,
    }

    /// `tt:H264Configuration`
    H264Configuration in TT {
        /// Frames from one key frame to the next.
        gov_length: i32 = elem "GovLength" or 0,
        /// Profile.
        profile: H264Profile = elem "H264Profile" or H264Profile::Main,
    }

    /// `tt:IPAddress`
    IpAddress in TT {
        /// Which of the two is filled.
        kind: IpType = elem "Type",
        /// Dotted.
        v4: Option<String> = elem "IPv4Address",
        /// With colons.
        v6: Option<String> = elem "IPv6Address",
    }

    /// `tt:MulticastConfiguration`
    MulticastConfiguration in TT {
        /// Group.
        address: IpAddress = elem "Address",
        /// UDP port, 0 when unused.
        port: i32 = elem "Port",
        /// Hops.
        ttl: i32 = elem "TTL",
        /// Whether it sends without being asked.
        auto_start: bool = elem "AutoStart",
    }

    /// `tt:VideoEncoderConfiguration`
    VideoEncoderConfiguration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
        /// Codec.
        encoding: VideoEncoding = elem "Encoding",
        /// Picture size.
        resolution: VideoResolution = elem "Resolution",
        /// Relative, in the range of the options.
        quality: f32 = elem "Quality" or 0.0,
        /// Frame and bit rate.
        rate_control: Option<VideoRateControl> = elem "RateControl",
        /// For H.264.
        h264: Option<H264Configuration> = elem "H264",
        /// Demanded by the schema; some cameras have none.
        multicast: Option<MulticastConfiguration> = elem "Multicast",
        /// Of the RTSP session.
        session_timeout: Duration = elem "SessionTimeout" or Duration::from_secs(60),
    }

    /// `tt:VideoRateControl2`
    #[derive(Copy)]
    VideoRateControl2 in TT {
        /// Whether the bit rate is held.
        constant_bitrate: Option<bool> = attr "ConstantBitRate",
        /// Frames per second.
        frame_rate_limit: f32 = elem "FrameRateLimit" or 0.0,
        /// kbit/s.
        bitrate_limit: i32 = elem "BitrateLimit" or 0,
    }

    /// `tt:VideoEncoder2Configuration`: of media service version 2.
    VideoEncoder2Configuration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// Frames from one key frame to the next.
        gov_length: Option<i32> = attr "GovLength",
        /// Profile of the codec: `Baseline`, `Main`, `High`, …
        profile: Option<String> = attr "Profile",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
        /// Name of the codec in RTP: `H264`, `H265`, `JPEG`, …
        encoding: String = elem "Encoding",
        /// Picture size.
        resolution: VideoResolution = elem "Resolution",
        /// Frame and bit rate.
        rate_control: Option<VideoRateControl2> = elem "RateControl",
        /// Relative, in the range of the options.
        quality: f32 = elem "Quality" or 0.0,
    }

    /// `tt:AudioEncoder2Configuration`: of media service version 2.
    AudioEncoder2Configuration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
        /// Name of the codec in RTP: `PCMU`, `PCMA`, `MPEG4-GENERIC`, …
        encoding: String = elem "Encoding",
        /// kbit/s.
        bitrate: i32 = elem "Bitrate" or 0,
        /// kHz.
        sample_rate: i32 = elem "SampleRate" or 0,
    }

    /// `tt:AudioEncoderConfiguration`
    AudioEncoderConfiguration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
        /// Codec.
        encoding: AudioEncoding = elem "Encoding",
        /// kbit/s.
        bitrate: i32 = elem "Bitrate" or 0,
        /// kHz.
        sample_rate: i32 = elem "SampleRate" or 0,
        /// Demanded by the schema; some cameras have none.
        multicast: Option<MulticastConfiguration> = elem "Multicast",
        /// Of the RTSP session.
        session_timeout: Duration = elem "SessionTimeout" or Duration::from_secs(60),
    }

    /// `tt:Vector2D`: pan and tilt as position, translation or velocity.
    Vector2D in TT {
        /// Pan; right is positive in the generic spaces.
        x: f32 = attr "x",
        /// Tilt; up is positive in the generic spaces.
        y: f32 = attr "y",
        /// URI of the coordinate space; the configuration's default if absent.
        space: Option<String> = attr "space",
    }

    /// `tt:Vector1D`: zoom as position, translation or velocity.
    Vector1D in TT {
        /// In is positive.
        x: f32 = attr "x",
        /// URI of the coordinate space; the configuration's default if absent.
        space: Option<String> = attr "space",
    }

    /// `tt:PTZVector`
    #[derive(Default)]
    PtzVector in TT {
        /// Pan and tilt, if they are meant.
        pan_tilt: Option<Vector2D> = elem "PanTilt",
        /// Zoom, if it is meant.
        zoom: Option<Vector1D> = elem "Zoom",
    }

    /// `tt:PTZSpeed`
    #[derive(Default)]
    PtzSpeed in TT {
        /// Pan and tilt, if they are meant.
        pan_tilt: Option<Vector2D> = elem "PanTilt",
        /// Zoom, if it is meant.
        zoom: Option<Vector1D> = elem "Zoom",
    }

    /// `tt:PTZMoveStatus`
    PtzMoveStatus in TT {
        /// Of pan and tilt.
        pan_tilt: Option<MoveStatus> = elem "PanTilt",
        /// Of zoom.
        zoom: Option<MoveStatus> = elem "Zoom",
    }

    /// `tt:PTZStatus`
    PtzStatus in TT {
        /// Where it looks, if the device knows.
        position: Option<PtzVector> = elem "Position",
        /// Whether it moves.
        move_status: Option<PtzMoveStatus> = elem "MoveStatus",
        /// Text of a fault of the motor.
        error: Option<String> = elem "Error",
        /// `xs:dateTime` of the position.
        utc_time: String = elem "UtcTime" or String::new(),
    }

    /// `tt:Space2DDescription`
    Space2DDescription in TT {
        /// Which space.
        uri: String = elem "URI",
        /// Range of pan.
        x_range: FloatRange = elem "XRange",
        /// Range of tilt.
        y_range: FloatRange = elem "YRange",
    }

    /// `tt:Space1DDescription`
    Space1DDescription in TT {
        /// Which space.
        uri: String = elem "URI",
        /// Range of zoom or speed.
        x_range: FloatRange = elem "XRange",
    }

    /// `tt:PTZSpaces`: which coordinates the device takes.
    #[derive(Default)]
    PtzSpaces in TT {
        /// For AbsoluteMove.
        absolute_pan_tilt: Vec<Space2DDescription> = elem "AbsolutePanTiltPositionSpace",
        /// For AbsoluteMove.
        absolute_zoom: Vec<Space1DDescription> = elem "AbsoluteZoomPositionSpace",
        /// For RelativeMove.
        relative_pan_tilt: Vec<Space2DDescription> = elem "RelativePanTiltTranslationSpace",
        /// For RelativeMove.
        relative_zoom: Vec<Space1DDescription> = elem "RelativeZoomTranslationSpace",
        /// For ContinuousMove.
        continuous_pan_tilt: Vec<Space2DDescription> = elem "ContinuousPanTiltVelocitySpace",
        /// For ContinuousMove.
        continuous_zoom: Vec<Space1DDescription> = elem "ContinuousZoomVelocitySpace",
        /// Of absolute and relative moves.
        pan_tilt_speed: Vec<Space1DDescription> = elem "PanTiltSpeedSpace",
        /// Of absolute and relative moves.
        zoom_speed: Vec<Space1DDescription> = elem "ZoomSpeedSpace",
    }

    /// `tt:PTZNode`
    PtzNode in TT {
        /// Identifies it.
        token: String = attr "token",
        /// Whether the home position is fixed.
        fixed_home_position: Option<bool> = attr "FixedHomePosition",
        /// For people.
        name: Option<String> = elem "Name",
        /// Coordinates it takes.
        supported_spaces: PtzSpaces = elem "SupportedPTZSpaces" or PtzSpaces::default(),
        /// How many presets it keeps.
        maximum_number_of_presets: i32 = elem "MaximumNumberOfPresets" or 0,
        /// Whether it has a home position.
        home_supported: bool = elem "HomeSupported" or false,
        /// Names of auxiliary commands.
        auxiliary_commands: Vec<String> = elem "AuxiliaryCommands",
    }

    /// `tt:PanTiltLimits`
    PanTiltLimits in TT {
        /// Range and its space.
        range: Space2DDescription = elem "Range",
    }

    /// `tt:ZoomLimits`
    ZoomLimits in TT {
        /// Range and its space.
        range: Space1DDescription = elem "Range",
    }

    /// `tt:PTZConfiguration`
    PtzConfiguration in TT {
        /// Identifies it.
        token: String = attr "token",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// How many profiles use it.
        use_count: i32 = elem "UseCount" or 0,
        /// The node it moves.
        node_token: String = elem "NodeToken" or String::new(),
        /// Default space; the odd spelling is the schema's.
        default_absolute_pan_tilt: Option<String> = elem "DefaultAbsolutePantTiltPositionSpace",
        /// Default space.
        default_absolute_zoom: Option<String> = elem "DefaultAbsoluteZoomPositionSpace",
        /// Default space.
        default_relative_pan_tilt: Option<String> = elem "DefaultRelativePanTiltTranslationSpace",
        /// Default space.
        default_relative_zoom: Option<String> = elem "DefaultRelativeZoomTranslationSpace",
        /// Default space.
        default_continuous_pan_tilt: Option<String> = elem "DefaultContinuousPanTiltVelocitySpace",
        /// Default space.
        default_continuous_zoom: Option<String> = elem "DefaultContinuousZoomVelocitySpace",
        /// Speed when a move names none.
        default_speed: Option<PtzSpeed> = elem "DefaultPTZSpeed",
        /// When a continuous move that names no timeout stops.
        default_timeout: Option<Duration> = elem "DefaultPTZTimeout",
        /// Ends of travel.
        pan_tilt_limits: Option<PanTiltLimits> = elem "PanTiltLimits",
        /// Ends of travel.
        zoom_limits: Option<ZoomLimits> = elem "ZoomLimits",
    }

    /// `tt:PTZConfigurationOptions`
    PtzConfigurationOptions in TT {
        /// Coordinates it takes.
        spaces: PtzSpaces = elem "Spaces",
        /// Timeouts it takes.
        timeout: DurationRange = elem "PTZTimeout"
            or DurationRange { min: Duration::ZERO, max: Duration::from_secs(60) },
    }

    /// `tt:PTZPreset`
    PtzPreset in TT {
        /// Identifies it; cameras without presets list places that have none.
        token: Option<String> = attr "token",
        /// For people.
        name: Option<String> = elem "Name",
        /// Where it is, if the device tells.
        position: Option<PtzVector> = elem "PTZPosition",
    }

    /// `tt:ProfileExtension`
    ProfileExtension in TT {
        /// Where sound goes to.
        audio_output: Option<AudioOutputConfiguration> = elem "AudioOutputConfiguration",
        /// How that sound is decoded.
        audio_decoder: Option<AudioDecoderConfiguration> = elem "AudioDecoderConfiguration",
    }

    /// `tt:Profile`: a ready combination of source, encoder and motor; what we call a stream.
    Profile in TT {
        /// Identifies it.
        token: String = attr "token",
        /// Whether it can be deleted.
        fixed: Option<bool> = attr "fixed",
        /// For people.
        name: String = elem "Name" or String::new(),
        /// Where the picture comes from.
        video_source: Option<VideoSourceConfiguration> = elem "VideoSourceConfiguration",
        /// Where the sound comes from.
        audio_source: Option<AudioSourceConfiguration> = elem "AudioSourceConfiguration",
        /// How the picture is encoded.
        video_encoder: Option<VideoEncoderConfiguration> = elem "VideoEncoderConfiguration",
        /// How the sound is encoded.
        audio_encoder: Option<AudioEncoderConfiguration> = elem "AudioEncoderConfiguration",
        /// What moves the camera.
        ptz: Option<PtzConfiguration> = elem "PTZConfiguration",
        /// The way back: sound from the client to the camera.
        extension: Option<ProfileExtension> = elem "Extension",
    }

    /// `tt:VideoSource`
    VideoSource in TT {
        /// Identifies it.
        token: String = attr "token",
        /// Frames per second.
        framerate: f32 = elem "Framerate" or 0.0,
        /// Of the sensor.
        resolution: VideoResolution = elem "Resolution" or VideoResolution { width: 0, height: 0 },
    }

    /// `tt:Transport`
    Transport in TT {
        /// How media travels.
        protocol: TransportProtocol = elem "Protocol",
    }

    /// `tt:StreamSetup`
    StreamSetup in TT {
        /// To one or many.
        stream: StreamType = elem "Stream",
        /// How media travels.
        transport: Transport = elem "Transport",
    }

    /// `tt:MediaUri`
    MediaUri in TT {
        /// Address.
        uri: String = elem "Uri",
        /// Whether one connection uses it up.
        invalid_after_connect: bool = elem "InvalidAfterConnect" or false,
        /// Whether a restart of the camera ends it.
        invalid_after_reboot: bool = elem "InvalidAfterReboot" or false,
        /// How long it holds; zero is for ever.
        timeout: Duration = elem "Timeout" or Duration::ZERO,
    }

    /// `tt:ImagingSettings20`
    #[derive(Default)]
    ImagingSettings in TT {
        /// In the device's range.
        brightness: Option<f32> = elem "Brightness",
        /// In the device's range.
        color_saturation: Option<f32> = elem "ColorSaturation",
        /// In the device's range.
        contrast: Option<f32> = elem "Contrast",
        /// Day and night.
        ir_cut_filter: Option<IrCutFilterMode> = elem "IrCutFilter",
        /// In the device's range.
        sharpness: Option<f32> = elem "Sharpness",
    }

    /// `tt:ImagingOptions20`
    #[derive(Default)]
    ImagingOptions in TT {
        /// Range.
        brightness: Option<FloatRange> = elem "Brightness",
        /// Range.
        color_saturation: Option<FloatRange> = elem "ColorSaturation",
        /// Range.
        contrast: Option<FloatRange> = elem "Contrast",
        /// Modes it has.
        ir_cut_filter_modes: Vec<IrCutFilterMode> = elem "IrCutFilterModes",
        /// Range.
        sharpness: Option<FloatRange> = elem "Sharpness",
    }

    /// `tt:MoveOptions20`: what focus can be moved by; empty for a fixed lens.
    #[derive(Default)]
    MoveOptions in TT {
        /// Range of focus velocity.
        continuous: Option<ContinuousFocusOptions> = elem "Continuous",
    }

    /// `tt:ContinuousFocusOptions`
    ContinuousFocusOptions in TT {
        /// Range of focus velocity.
        speed: FloatRange = elem "Speed",
    }

    /// `tt:Scope`
    Scope in TT {
        /// `Fixed` or `Configurable`.
        definition: String = elem "ScopeDef" or "Fixed".to_owned(),
        /// URI, such as `onvif://www.onvif.org/name/Courtyard`.
        item: String = elem "ScopeItem",
    }

    /// `tt:HostnameInformation`
    HostnameInformation in TT {
        /// Whether DHCP gave it.
        from_dhcp: bool = elem "FromDHCP" or false,
        /// Name.
        name: Option<String> = elem "Name",
    }

    /// `tt:NetworkInterfaceInfo`
    NetworkInterfaceInfo in TT {
        /// Such as `eth0`.
        name: Option<String> = elem "Name",
        /// MAC address, written in pairs.
        hw_address: String = elem "HwAddress" or String::new(),
        /// Bytes.
        mtu: Option<i32> = elem "MTU",
    }

    /// `tt:PrefixedIPv4Address`
    PrefixedIpv4Address in TT {
        /// Dotted.
        address: String = elem "Address",
        /// Bits of the network.
        prefix_length: i32 = elem "PrefixLength" or 32,
    }

    /// `tt:IPv4Configuration`
    Ipv4Configuration in TT {
        /// Set by hand.
        manual: Vec<PrefixedIpv4Address> = elem "Manual",
        /// 169.254/16.
        link_local: Option<PrefixedIpv4Address> = elem "LinkLocal",
        /// Given by DHCP.
        from_dhcp: Option<PrefixedIpv4Address> = elem "FromDHCP",
        /// Whether DHCP is asked.
        dhcp: bool = elem "DHCP" or false,
    }

    /// `tt:IPv4NetworkInterface`
    Ipv4NetworkInterface in TT {
        /// Whether IPv4 is on.
        enabled: bool = elem "Enabled" or true,
        /// Addresses.
        config: Ipv4Configuration = elem "Config",
    }

    /// `tt:NetworkInterface`
    NetworkInterface in TT {
        /// Identifies it.
        token: String = attr "token",
        /// Whether it is on.
        enabled: bool = elem "Enabled" or true,
        /// Name and MAC address.
        info: Option<NetworkInterfaceInfo> = elem "Info",
        /// IPv4 part.
        ipv4: Option<Ipv4NetworkInterface> = elem "IPv4",
    }

    /// `tt:User`
    User in TT {
        /// Name.
        username: String = elem "Username",
        /// `Administrator`, `Operator`, `User` or `Anonymous`.
        user_level: String = elem "UserLevel" or "User".to_owned(),
    }

    /// `tt:NetworkCapabilities`
    #[derive(Default)]
    NetworkCapabilities in TT {
        /// Filter by address.
        ip_filter: Option<bool> = elem "IPFilter",
        /// Zero configuration.
        zero_configuration: Option<bool> = elem "ZeroConfiguration",
        /// IPv6.
        ip_version6: Option<bool> = elem "IPVersion6",
        /// Dynamic DNS.
        dyn_dns: Option<bool> = elem "DynDNS",
    }

    /// `tt:SystemCapabilities`
    SystemCapabilities in TT {
        /// WS-Discovery resolve.
        discovery_resolve: bool = elem "DiscoveryResolve" or false,
        /// WS-Discovery bye.
        discovery_bye: bool = elem "DiscoveryBye" or false,
        /// Remote discovery.
        remote_discovery: bool = elem "RemoteDiscovery" or false,
        /// Backup over MTOM.
        system_backup: bool = elem "SystemBackup" or false,
        /// Log over MTOM.
        system_logging: bool = elem "SystemLogging" or false,
        /// Firmware over MTOM.
        firmware_upgrade: bool = elem "FirmwareUpgrade" or false,
        /// ONVIF versions, newest first.
        supported_versions: Vec<OnvifVersion> = elem "SupportedVersions",
    }

    /// `tt:DeviceCapabilities`
    DeviceCapabilities in TT {
        /// Address of the device service.
        xaddr: String = elem "XAddr",
        /// Network.
        network: Option<NetworkCapabilities> = elem "Network",
        /// System.
        system: Option<SystemCapabilities> = elem "System",
    }

    /// `tt:RealTimeStreamingCapabilities`
    #[derive(Default)]
    StreamingCapabilities in TT {
        /// Multicast.
        rtp_multicast: Option<bool> = elem "RTPMulticast",
        /// RTP over TCP, deprecated.
        rtp_tcp: Option<bool> = elem "RTP_TCP",
        /// RTP interleaved in RTSP.
        rtp_rtsp_tcp: Option<bool> = elem "RTP_RTSP_TCP",
    }

    /// `tt:MediaCapabilities`
    MediaCapabilities in TT {
        /// Address of the media service.
        xaddr: String = elem "XAddr",
        /// Ways of streaming.
        streaming: StreamingCapabilities = elem "StreamingCapabilities"
            or StreamingCapabilities::default(),
    }

    /// `tt:PTZCapabilities`, `tt:ImagingCapabilities`: a service with no more than an address.
    ServiceAddress in TT {
        /// Address of the service.
        xaddr: String = elem "XAddr",
    }

    /// `tt:Capabilities`
    #[derive(Default)]
    Capabilities in TT {
        /// Device management.
        device: Option<DeviceCapabilities> = elem "Device",
        /// Imaging service.
        imaging: Option<ServiceAddress> = elem "Imaging",
        /// Media service.
        media: Option<MediaCapabilities> = elem "Media",
        /// PTZ service.
        ptz: Option<ServiceAddress> = elem "PTZ",
        /// Services that came later.
        extension: Option<CapabilitiesExtension> = elem "Extension",
    }

    /// `tt:CapabilitiesExtension`
    #[derive(Default)]
    CapabilitiesExtension in TT {
        /// Recording control service.
        recording: Option<ServiceAddress> = elem "Recording",
        /// Recording search service.
        search: Option<ServiceAddress> = elem "Search",
        /// Replay control service.
        replay: Option<ServiceAddress> = elem "Replay",
    }

    /// `tt:RecordingSourceInformation`: what was recorded.
    #[derive(Default)]
    RecordingSourceInformation in TT {
        /// URI or token of the source; many devices put the token of a media profile here.
        source_id: String = elem "SourceId" or String::new(),
        /// For people.
        name: String = elem "Name" or String::new(),
        /// For people.
        location: String = elem "Location" or String::new(),
        /// For people.
        description: String = elem "Description" or String::new(),
        /// URI of the device it was recorded from.
        address: String = elem "Address" or String::new(),
    }

    /// `tt:RecordingConfiguration`
    RecordingConfiguration in TT {
        /// What is recorded.
        source: RecordingSourceInformation = elem "Source" or RecordingSourceInformation::default(),
        /// For people.
        content: String = elem "Content" or String::new(),
        /// What is older is deleted; zero: only when there is no room.
        maximum_retention_time: Duration = elem "MaximumRetentionTime" or Duration::ZERO,
    }

    /// `tt:TrackConfiguration`
    TrackConfiguration in TT {
        /// What it holds.
        track_type: TrackType = elem "TrackType",
        /// For people.
        description: String = elem "Description" or String::new(),
    }

    /// `tt:GetTracksResponseItem`
    RecordingTrack in TT {
        /// Identifies it within its recording.
        track_token: String = elem "TrackToken",
        /// What it is.
        configuration: TrackConfiguration = elem "Configuration",
    }

    /// `tt:GetTracksResponseList`
    #[derive(Default)]
    RecordingTracks in TT {
        /// Tracks.
        tracks: Vec<RecordingTrack> = elem "Track",
    }

    /// `tt:GetRecordingsResponseItem`: a recording is all that was ever recorded of one source, with gaps.
    RecordingItem in TT {
        /// Identifies it.
        recording_token: String = elem "RecordingToken",
        /// What it is.
        configuration: RecordingConfiguration = elem "Configuration",
        /// Its tracks.
        tracks: RecordingTracks = elem "Tracks" or RecordingTracks::default(),
    }

    /// `tt:RecordingSummary`
    RecordingSummary in TT {
        /// The oldest that is kept.
        data_from: UnixMicros = elem "DataFrom",
        /// The newest.
        data_until: UnixMicros = elem "DataUntil",
        /// How many recordings there are.
        number_recordings: i32 = elem "NumberRecordings" or 0,
    }

    /// `tt:TrackInformation`
    TrackInformation in TT {
        /// Identifies it within its recording.
        track_token: String = elem "TrackToken",
        /// What it holds.
        track_type: TrackType = elem "TrackType",
        /// For people.
        description: String = elem "Description" or String::new(),
        /// The oldest that is kept.
        data_from: Option<UnixMicros> = elem "DataFrom",
        /// The newest.
        data_to: Option<UnixMicros> = elem "DataTo",
    }

    /// `tt:RecordingInformation`
    RecordingInformation in TT {
        /// Identifies it.
        recording_token: String = elem "RecordingToken",
        /// What was recorded.
        source: RecordingSourceInformation = elem "Source" or RecordingSourceInformation::default(),
        /// The oldest that is kept.
        earliest_recording: Option<UnixMicros> = elem "EarliestRecording",
        /// The newest.
        latest_recording: Option<UnixMicros> = elem "LatestRecording",
        /// For people.
        content: String = elem "Content" or String::new(),
        /// Its tracks.
        tracks: Vec<TrackInformation> = elem "Track",
        /// Whether it grows.
        recording_status: RecordingStatus = elem "RecordingStatus" or RecordingStatus::Unknown,
    }

    /// `tt:VideoAttributes`
    VideoAttributes in TT {
        /// Bits a second.
        bitrate: Option<i32> = elem "Bitrate",
        /// Pixels.
        width: i32 = elem "Width" or 0,
        /// Pixels.
        height: i32 = elem "Height" or 0,
        /// How it is encoded.
        encoding: VideoEncoding = elem "Encoding",
        /// Frames a second.
        framerate: f32 = elem "Framerate" or 0.0,
    }

    /// `tt:AudioAttributes`
    AudioAttributes in TT {
        /// Bits a second.
        bitrate: Option<i32> = elem "Bitrate",
        /// How it is encoded.
        encoding: AudioEncoding = elem "Encoding",
        /// Samples a second.
        samplerate: i32 = elem "Samplerate" or 0,
    }

    /// `tt:TrackAttributes`: one of the two kinds.
    TrackAttributes in TT {
        /// Which track.
        track_information: TrackInformation = elem "TrackInformation",
        /// Pictures.
        video: Option<VideoAttributes> = elem "VideoAttributes",
        /// Sound.
        audio: Option<AudioAttributes> = elem "AudioAttributes",
    }

    /// `tt:MediaAttributes`: a stretch of a recording that is of a kind.
    MediaAttributes in TT {
        /// Which recording.
        recording_token: String = elem "RecordingToken",
        /// What its tracks hold.
        track_attributes: Vec<TrackAttributes> = elem "TrackAttributes",
        /// From here …
        from: UnixMicros = elem "From",
        /// … to here.
        until: UnixMicros = elem "Until",
    }

    /// `tt:SourceReference`
    SourceReference in TT {
        /// Of what the token is; a profile, if nothing is said.
        kind: Option<String> = attr "Type",
        /// Which.
        token: String = elem "Token",
    }

    /// `tt:SearchScope`: where to search; everywhere, if nothing is said.
    #[derive(Default)]
    SearchScope in TT {
        /// Recordings of these sources.
        included_sources: Vec<SourceReference> = elem "IncludedSources",
        /// These recordings.
        included_recordings: Vec<String> = elem "IncludedRecordings",
        /// An XPath over [`RecordingInformation`].
        recording_information_filter: Option<String> = elem "RecordingInformationFilter",
    }

    /// `tt:FindRecordingResultList`
    FindRecordingResultList in TT {
        /// How far it is.
        search_state: SearchState = elem "SearchState",
        /// Those not told before.
        recording_information: Vec<RecordingInformation> = elem "RecordingInformation",
    }

    /// `tt:FindEventResult`
    FindEventResult in TT {
        /// Where it happened.
        recording_token: String = elem "RecordingToken",
        /// In which track.
        track_token: String = elem "TrackToken" or String::new(),
        /// When.
        time: UnixMicros = elem "Time",
        /// What.
        event: Notification = elem "Event",
        /// It did not happen then: it is how things stood at the start of the range.
        start_state_event: bool = elem "StartStateEvent" or false,
    }

    /// `tt:FindEventResultList`
    FindEventResultList in TT {
        /// How far it is.
        search_state: SearchState = elem "SearchState",
        /// Those not told before, in the direction of the search.
        results: Vec<FindEventResult> = elem "Result",
    }

    /// `tt:ReplayConfiguration`
    ReplayConfiguration in TT {
        /// After this long without a sign of life a replay session ends.
        session_timeout: Duration = elem "SessionTimeout",
    }

    /// `wsnt:NotificationMessageHolderType`: an event.
    Notification in WSNT {
        /// What happened.
        topic: Topic = elem "Topic",
        /// The rest.
        message: NotificationMessage = elem "Message",
    }

    /// `wsnt:Message`, in which ONVIF's own lies.
    NotificationMessage in TT {
        /// The message.
        message: EventMessage = elem "Message",
    }

    /// `tt:Message`
    EventMessage in TT {
        /// When.
        utc_time: Option<UnixMicros> = attr "UtcTime",
        /// `Initialized`, `Changed` or `Deleted`, of a state.
        property_operation: Option<String> = attr "PropertyOperation",
        /// Where it happened.
        source: Option<ItemList> = elem "Source",
        /// How it is now.
        data: Option<ItemList> = elem "Data",
    }

    /// `tt:ItemList`
    #[derive(Default)]
    ItemList in TT {
        /// Items.
        items: Vec<SimpleItem> = elem "SimpleItem",
    }

    /// `tt:SimpleItem`
    SimpleItem in TT {
        /// Name.
        name: String = attr "Name",
        /// Value.
        value: String = attr "Value",
    }
}

impl ItemList {
    /// A list of one item.
    pub fn of(name: &str, value: impl Into<String>) -> ItemList {
        ItemList { items: vec![SimpleItem { name: name.into(), value: value.into() }] }
    }

    /// The value of an item.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.items.iter().find(|item| item.name == name).map(|item| item.value.as_str())
    }
}

/// `wsnt:TopicExpressionType`: names what happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic(
    /// `{uri}Name/Name`, of a concrete topic; other expressions as they are.
    pub String,
);

impl Topic {
    /// Dialect of a path of names (ONVIF Core 9.6.3), which all devices know.
    const CONCRETE_SET: &str = "http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet";

    /// A concrete topic of ONVIF, by its path, such as `RecordingHistory/Track/State`.
    pub fn new(path: &str) -> Topic {
        Topic(format!("{{{TNS1}}}{path}"))
    }

    /// Its path; of one that nobody here can read too.
    pub fn path(&self) -> &str {
        let path = self.0.rsplit_once('}').map_or(self.0.as_str(), |(_, path)| path);
        // Some cameras do not bind the prefix.
        path.rsplit_once(':').map_or(path, |(_, path)| path)
    }
}

impl Content for Topic {
    fn read(element: &Element) -> Result<Self, Error> {
        Ok(Topic(element.text.clone()))
    }

    fn write(&self, element: &mut Element) {
        let (name, value) = ("Dialect".into(), Self::CONCRETE_SET.to_owned());
        element.attributes.push(Attribute { namespace: "".into(), name, value });
        element.text.clone_from(&self.0);
    }
}
