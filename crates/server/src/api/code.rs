//! The public result codes: the only place that knows the numbers and their texts.
//!
//! Two tables. [`of`] maps every error of the product to one code; [`TEXTS`] has the English and the
//! Chinese text of every code the platform imitated documents, ours or not, so that a device's or an
//! upstream's code can be passed on with its words.

use cloud::Error;
use device::Limit;

use crate::config::Language;

/// A code, its English and its Chinese text.
pub struct Text(pub u32, pub &'static str, pub &'static str);

/// Success.
pub const OK: u32 = 200;
/// A parameter is missing or malformed.
pub const PARAMETER: u32 = 10001;
/// No such command here.
pub const COMMAND_UNSUPPORTED: u32 = 60020;
/// What we keep is damaged.
pub const DATA: u32 = 49999;
/// Ours to repair.
pub const INTERNAL: u32 = 50000;

/// The text of a code.
pub fn text(code: u32, language: Language) -> &'static str {
    let known = TEXTS.binary_search_by_key(&code, |t| t.0).ok().map(|at| &TEXTS[at]);
    match (known, language) {
        (Some(text), Language::En) => text.1,
        (Some(text), Language::Zh) => text.2,
        (None, Language::En) => "unknown error",
        (None, Language::Zh) => "未知错误",
    }
}

/// Endpoints that tell some errors in a way of their own; see [`in_family`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `live/address/…` and what else makes addresses.
    Address,
    /// `device/ptz/start`, `stop` and `device/preset/…`.
    Ptz,
    /// `device/capture`.
    Capture,
    /// `voice/…`.
    Voice,
    /// All others.
    Control,
}

/// What the outside is told of an error of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Public {
    /// Code of the Open API, but for what [`in_family`] has.
    pub code: u32,
    /// Name in the native API.
    pub name: &'static str,
    /// HTTP status in the native API.
    pub status: u16,
}

/// The code of an error in a family of endpoints: that of [`of`], unless the platform imitated has
/// another there.
pub fn in_family(error: &Error, family: Family) -> u32 {
    match (family, error) {
        (Family::Address | Family::Voice, Error::ChannelNotFound) => 20001,
        (Family::Ptz, Error::Refused(_)) => 60006,
        (Family::Capture, Error::Refused(_) | Error::NoPicture { .. }) => 60017,
        (Family::Voice, Error::Unsupported) => 20015,
        (Family::Voice, Error::Refused(_) | Error::Device(_) | Error::SpeakerBusy) => 111012,
        _ => of(error).code,
    }
}

/// What a caller is told beside the text of the code: the parameter an error is about, or why.
pub fn detail(error: &Error) -> Option<&str> {
    match error {
        Error::InvalidArgument { field } => Some(field),
        // Clients look for this word before they ask for the code.
        Error::Encrypted => Some("parameter code is empty or wrong"),
        Error::VoiceRefused(why) => Some(why),
        _ => None,
    }
}

/// Maps every error of the product to the one code, name and status that the outside sees.
pub fn of(error: &Error) -> Public {
    let (code, status, name) = match error {
        Error::InvalidArgument { .. } => (PARAMETER, 400, "InvalidArgument"),
        Error::TokenInvalid => (10002, 401, "TokenInvalid"),
        Error::AppKeyDisabled => (10005, 403, "AppKeyDisabled"),
        Error::AppKeyUnknown => (10017, 404, "AppKeyUnknown"),
        Error::SecretMismatch => (10030, 403, "SecretMismatch"),
        Error::RateLimited => (10029, 429, "RateLimited"),
        Error::PermissionDenied => (10031, 403, "PermissionDenied"),
        Error::ChannelNotFound => (20032, 404, "ChannelNotFound"),
        Error::DeviceRemoved => (20002, 410, "DeviceRemoved"),
        Error::DeviceOffline => (20007, 409, "DeviceOffline"),
        Error::DeviceTimeout => (20008, 504, "DeviceTimeout"),
        Error::NoPicture { .. } => (20008, 504, "NoPicture"),
        Error::Device(_) => (20006, 502, "DeviceUnreachable"),
        Error::Refused(_) => (60012, 502, "DeviceRefused"),
        Error::VerifyCodeWrong => (20010, 403, "VerifyCodeWrong"),
        Error::OwnedByOther => (20013, 409, "OwnedByOther"),
        Error::AlreadyYours => (20017, 409, "AlreadyYours"),
        Error::NotOwner => (20018, 404, "NotOwner"),
        Error::SerialTaken => (20012, 409, "SerialTaken"),
        Error::SerialMalformed => (20014, 400, "SerialMalformed"),
        Error::Unsupported => (COMMAND_UNSUPPORTED, 501, "Unsupported"),
        Error::PtzUnsupported => (60000, 501, "PtzUnsupported"),
        Error::AtLimit(Limit::Up) => (60002, 409, "AtUpperLimit"),
        Error::AtLimit(Limit::Down) => (60003, 409, "AtLowerLimit"),
        Error::AtLimit(Limit::Left) => (60004, 409, "AtLeftLimit"),
        Error::AtLimit(Limit::Right) => (60005, 409, "AtRightLimit"),
        Error::PresetsFull => (60007, 409, "PresetsFull"),
        Error::PresetReached => (60010, 409, "PresetReached"),
        Error::PresetUnknown => (60011, 404, "PresetUnknown"),
        Error::NotEncrypted => (60016, 409, "NotEncrypted"),
        Error::Encrypted => (60019, 403, "Encrypted"),
        Error::AlreadyEncrypted => (60019, 409, "AlreadyEncrypted"),
        Error::DefenceUnchanged => (60021, 409, "DefenceUnchanged"),
        Error::SwitchUnchanged => (60022, 409, "SwitchUnchanged"),
        Error::Masked => (60026, 409, "Masked"),
        Error::SpeakerBusy => (60029, 409, "SpeakerBusy"),
        Error::VoicesFull => (111000, 409, "VoicesFull"),
        Error::VoiceRefused(_) => (111001, 400, "VoiceRefused"),
        Error::GrantInvalid => (10002, 404, "GrantInvalid"),
        Error::Internal(_) => (INTERNAL, 500, "Internal"),
    };
    Public { code, name, status }
}

/// Every documented code, ascending.
#[rustfmt::skip]
pub static TEXTS: &[Text] = &[
    Text(200, "operation succeeded", "操作成功"),
    Text(201, "created", "已创建"),
    Text(401, "unauthorised", "未授权"),
    Text(403, "forbidden", "禁止访问"),
    Text(404, "not found", "不存在"),
    Text(1001, "user name is invalid", "用户名不合法"),
    Text(1002, "user name is taken", "用户名已被占用"),
    Text(1003, "password is invalid", "密码不合法"),
    Text(1004, "password is one repeated character", "密码为同一字符"),
    Text(1005, "too many wrong passwords", "密码错误次数过多"),
    Text(1006, "phone number is already registered", "手机号码已经被注册"),
    Text(1007, "phone number is not registered", "手机号未注册"),
    Text(1008, "phone number is invalid", "手机号码不合法"),
    Text(1009, "user name and phone number do not match", "用户名与手机不匹配"),
    Text(1010, "verification code cannot be obtained", "获取验证码失败"),
    Text(1011, "verification code is wrong", "验证码错误"),
    Text(1012, "verification code has expired", "验证码失效"),
    Text(1013, "user does not exist", "用户不存在"),
    Text(1014, "password or appKey is wrong", "密码不正确或者appKey不正确"),
    Text(1015, "user is locked", "用户被锁住"),
    Text(1021, "verification parameters are wrong", "验证参数异常"),
    Text(1026, "e-mail address is already registered", "邮箱已经被注册"),
    Text(1031, "e-mail address is not registered", "邮箱未注册"),
    Text(1032, "e-mail address is invalid", "邮箱不合法"),
    Text(1041, "verification code requested too often", "获取验证码过于频繁"),
    Text(1043, "too many wrong verification codes", "手机验证码输入错误超过规定次数"),
    Text(2000, "device does not exist", "设备不存在"),
    Text(2001, "camera does not exist", "摄像机不存在"),
    Text(2003, "device is offline", "设备不在线"),
    Text(2004, "device is in an abnormal state", "设备异常"),
    Text(2007, "device serial is wrong", "设备序列号不正确"),
    Text(2009, "device did not answer in time", "设备请求响应超时异常"),
    Text(2030, "device does not support this", "设备不支持"),
    Text(5000, "device is already bound to you", "设备已被自己添加"),
    Text(5001, "device is already bound to somebody else", "设备已被别人添加"),
    Text(5002, "device verification code is wrong", "设备验证码错误"),
    Text(7001, "invitation does not exist", "邀请不存在"),
    Text(7002, "invitation check failed", "邀请验证失败"),
    Text(7003, "invitation is for another user", "邀请用户不匹配"),
    Text(7004, "invitation cannot be cancelled", "无法取消邀请"),
    Text(7005, "invitation cannot be deleted", "无法删除邀请"),
    Text(7006, "you cannot invite yourself", "不能邀请自己"),
    Text(7007, "already invited", "重复邀请"),
    Text(9048, "number of simultaneous viewers exceeded", "取流并发数超过限制"),
    Text(9049, "bandwidth exceeded", "取流带宽超过限制"),
    Text(10001, "parameter is empty or malformed", "参数错误"),
    Text(10002, "accessToken is invalid or expired", "accessToken异常或过期"),
    Text(10004, "user does not exist", "用户不存在"),
    Text(10005, "appKey is abnormal", "appKey异常"),
    Text(10006, "IP address is restricted", "ip受限"),
    Text(10007, "call count has reached its limit", "调用次数达到上限"),
    Text(10008, "signature is wrong", "签名错误"),
    Text(10009, "signature parameters are wrong", "签名参数错误"),
    Text(10010, "signature has timed out", "签名超时"),
    Text(10011, "service is not opened", "未开通萤石云服务"),
    Text(10012, "third-party account is already bound", "第三方账户与萤石账号已经绑定"),
    Text(10013, "application has no right to call this", "应用没有权限调用此接口"),
    Text(10014, "third-party user is not bound under the appKey", "APPKEY下对应的第三方userId和phone未绑定"),
    Text(10015, "authorisation address does not exist", "授权地址不存在"),
    Text(10017, "appKey does not exist", "appKey不存在"),
    Text(10018, "accessToken and appKey do not match", "AccessToken与Appkey不匹配"),
    Text(10019, "password is wrong", "密码错误"),
    Text(10020, "method is missing", "请求方法为空"),
    Text(10023, "appKey and bundleId do not match", "appKey和bundleId不匹配"),
    Text(10024, "transparent channel is not permitted", "透明通道权限校验不通过"),
    Text(10026, "device count exceeds the plan", "设备数量超出个人版限制，当前设备无法操作，请充值企业版"),
    Text(10027, "appKey count exceeds the limit", "appKey数量超出安全限制，无法调用"),
    Text(10028, "capture quota is used up", "抓图接口调用次数超限"),
    Text(10029, "called too often", "调用频率超过限制"),
    Text(10030, "appKey and appSecret do not match", "appkey和appSecret不匹配"),
    Text(10031, "sub-account or user has no permission", "子账户或萤石用户没有权限"),
    Text(10032, "sub-account does not exist", "子账户不存在"),
    Text(10033, "sub-account has no policy or a malformed one", "子账户未设置授权策略 (policy参数信息异常)"),
    Text(10034, "sub-account exists already", "子账户已存在"),
    Text(10035, "sub-account token cannot be obtained", "获取子账户AccessToken异常"),
    Text(10036, "sub-account is disabled", "子账户被禁用"),
    Text(10051, "no permission to capture", "无权限抓图"),
    Text(10052, "balance is too low", "余额不足"),
    Text(10053, "cloud storage is being opened", "云存储开通中"),
    Text(10055, "device cannot try cloud storage", "设备不支持试用云存储服务"),
    Text(10056, "device cannot transfer cloud storage", "设备不支持云存储服务转出"),
    Text(10059, "requestId exists already", "requestId已存在"),
    Text(10060, "device does not support this storage type", "设备不支持该云存储类型"),
    Text(10065, "weakAppKey belongs to another user", "weakAppKey 不属于accessToken对应的用户"),
    Text(20001, "channel does not exist", "通道不存在"),
    Text(20002, "device does not exist", "设备不存在"),
    Text(20003, "malformed request, SDK too old", "参数异常，SDK版本过低"),
    Text(20004, "malformed request, SDK too old", "参数异常，SDK版本过低"),
    Text(20005, "SDK safety check needed", "安全认证失败，需进行SDK安全认证"),
    Text(20006, "network is abnormal", "网络异常"),
    Text(20007, "device is offline", "设备不在线"),
    Text(20008, "device did not answer in time", "设备响应超时"),
    Text(20009, "sub-account cannot add devices", "子账号不能添加设备"),
    Text(20010, "device verification code is wrong", "设备验证码错误"),
    Text(20011, "device cannot be added, check its network", "添加设备失败，检查设备网络"),
    Text(20012, "device cannot be added", "设备添加失败"),
    Text(20013, "device is already bound to somebody else", "设备已被别人添加"),
    Text(20014, "deviceSerial is malformed", "设备序列号不正确"),
    Text(20015, "device does not support this function", "设备不支持该功能"),
    Text(20016, "device is formatting", "当前设备正在格式化"),
    Text(20017, "device is already bound to you", "设备已被自己添加"),
    Text(20018, "device is not yours", "该用户不拥有该设备"),
    Text(20019, "device does not support cloud storage", "设备不支持云存储服务"),
    Text(20020, "device is online and yours", "设备在线，被自己添加"),
    Text(20021, "device is online and free", "设备在线，但是未被用户添加"),
    Text(20022, "device is online and somebody else's", "设备在线，但是已经被别的用户添加"),
    Text(20023, "device is offline and free", "设备不在线，未被用户添加"),
    Text(20024, "device is offline and somebody else's", "设备不在线，但是已经被别的用户添加"),
    Text(20025, "sharing was requested already", "重复申请分享"),
    Text(20026, "video square has no such video", "视频广场不存在该视频"),
    Text(20029, "device is offline and yours", "设备不在线，但是已经被自己添加"),
    Text(20030, "video of the square is not yours", "该用户不拥有该视频广场视频"),
    Text(20031, "terminal binding is on, hardware check failed", "开启终端绑定，硬件特征码验证失败"),
    Text(20032, "user has no such channel", "该用户下通道不存在"),
    Text(20033, "you cannot collect what you shared", "无法收藏自己分享的视频"),
    Text(20035, "channel is hidden", "通道被隐藏"),
    Text(20038, "device token is invalid", "设备token失效"),
    Text(20097, "device cannot be added: default code, or linked to a recorder", "设备添加异常,设备验证码为ABCDEF或设备被N1，R1关联"),
    Text(20101, "video is shared with yourself", "视频分享给本人"),
    Text(20102, "no such invitation", "无相应邀请信息"),
    Text(20103, "friend exists already", "好友已存在"),
    Text(20104, "friend does not exist", "好友不存在"),
    Text(20105, "friend is in the wrong state", "好友状态错误"),
    Text(20106, "group does not exist", "对应群组不存在"),
    Text(20107, "you cannot be your own friend", "不能添加自己为好友"),
    Text(20108, "users are not friends", "当前用户和所添加用户不是好友关系"),
    Text(20109, "share does not exist", "对应分享不存在"),
    Text(20110, "group is not yours", "好友群组不属于当前用户"),
    Text(20111, "friend is not waiting for confirmation", "好友不是等待验证状态"),
    Text(20112, "user under the application cannot be added as a friend", "添加应用下的用户为好友失败"),
    Text(20201, "alarm operation failed", "操作告警信息失败"),
    Text(20202, "message operation failed", "操作留言信息失败"),
    Text(20301, "no alarm with this UUID", "根据UUID查询告警消息不存在"),
    Text(20302, "no picture with this UUID", "根据UUID查询图片不存在"),
    Text(20303, "no picture with this FID", "根据FID查询图片不存在"),
    Text(20401, "user has no cloud space", "用户云空间信息不存在"),
    Text(20600, "too many temporary passwords", "临时密码数已达上限"),
    Text(20605, "another user is being authenticated", "其他用户正在认证中"),
    Text(20608, "lock user does not exist", "锁用户不存在"),
    Text(20609, "lock did not answer in time, or its battery is low", "设备响应超时,门锁通信故障或者电量不足,请重试."),
    Text(20615, "lock user exists already", "锁用户已存在"),
    Text(20619, "main user cannot be deleted", "主用户无法删除"),
    Text(30001, "user does not exist", "用户不存在"),
    Text(30003, "SMS code is wrong", "手机验证码错误"),
    Text(30005, "weak account does not exist", "弱账户不存在"),
    Text(49999, "data is abnormal", "数据异常"),
    Text(50000, "server error", "服务器异常"),
    Text(60000, "device has no PTZ", "设备不支持云台控制"),
    Text(60001, "user has no right for PTZ", "用户无云台控制权限"),
    Text(60002, "PTZ reached its upper limit", "设备云台旋转达到上限位"),
    Text(60003, "PTZ reached its lower limit", "设备云台旋转达到下限位"),
    Text(60004, "PTZ reached its left limit", "设备云台旋转达到左限位"),
    Text(60005, "PTZ reached its right limit", "设备云台旋转达到右限位"),
    Text(60006, "PTZ operation failed", "云台当前操作失败"),
    Text(60007, "too many presets", "预置点个数超过最大值"),
    Text(60008, "C6 preset limit reached", "C6预置点个数达到上限，无法添加"),
    Text(60009, "preset is running", "正在调用预置点"),
    Text(60010, "already at this preset", "该预置点已经是当前位置"),
    Text(60011, "preset does not exist", "预置点不存在"),
    Text(60012, "unknown error", "未知错误"),
    Text(60013, "firmware is the latest", "设备版本已是最新"),
    Text(60014, "device is upgrading", "设备正在升级"),
    Text(60015, "device is rebooting", "设备正在重启"),
    Text(60016, "encryption is not on", "加密未开启，无须关闭"),
    Text(60017, "capture failed", "设备抓图失败"),
    Text(60018, "upgrade failed", "设备升级失败"),
    Text(60019, "device encryption is on", "加密已开启"),
    Text(60020, "command is not supported", "不支持该命令"),
    Text(60021, "already in this defence state", "已是当前布撤防状态"),
    Text(60022, "already in this switch state", "已是当前开关状态"),
    Text(60023, "subscribing failed", "订阅操作失败"),
    Text(60024, "unsubscribing failed", "取消订阅操作失败"),
    Text(60025, "people counting cannot be configured", "客流统计配置失败"),
    Text(60026, "privacy mask is on", "设备处于隐私遮蔽状态"),
    Text(60027, "device is mirroring", "设备正在镜像操作"),
    Text(60028, "device is under key control", "设备正在键控动作"),
    Text(60029, "device is in a talk", "设备处于语音对讲状态"),
    Text(60030, "too many wrong cards, try again in 24 hours", "卡密输入错误次数过多，24小时后再输入"),
    Text(60031, "card does not exist", "卡密信息不存在"),
    Text(60032, "card is in a wrong state or expired", "卡密状态不对或已过期"),
    Text(60033, "card is not for sale, only for its own device", "卡密非卖品，只能开通对应的绑定设备"),
    Text(60034, "attach the device to a recorder first", "此设备不支持直连云服务，请将设备先关联到录像机"),
    Text(60035, "cloud storage cannot be bought", "购买云存储服务失败"),
    Text(60040, "device is in another LAN", "添加的设备不在同一局域网"),
    Text(60041, "device is linked to another or did not answer", "添加的设备被其他设备关联或响应超时"),
    Text(60042, "password of the device is wrong", "添加的设备密码错误"),
    Text(60043, "too many devices linked", "添加的设备超出最大数量"),
    Text(60044, "device cannot be reached", "添加的设备网络不可达超时"),
    Text(60045, "IP conflicts with another channel's", "添加的设备的IP和其他通道的IP冲突"),
    Text(60046, "IP conflicts with this device's", "添加的设备的IP和本设备的IP冲突"),
    Text(60047, "stream type is not supported", "码流类型不支持"),
    Text(60048, "bandwidth exceeds that of the system", "带宽超出系统接入带宽"),
    Text(60049, "IP or port is invalid", "IP或者端口不合法"),
    Text(60050, "version is not supported, upgrade it", "添加的设备版本不支持需要升级才能接入"),
    Text(60051, "device is not supported", "添加的设备不支持接入"),
    Text(60052, "channel number is wrong", "添加的设备通道号出错"),
    Text(60053, "resolution is not supported", "添加的设备分辨率不支持"),
    Text(60054, "account of the device is locked", "添加的设备账号被锁定"),
    Text(60055, "stream cannot be fetched", "添加的设备取码流出错"),
    Text(60056, "device cannot be deleted", "删除设备失败"),
    Text(60057, "device is not linked", "删除的设备未关联"),
    Text(60058, "ownership has to be confirmed first", "设备需要确权"),
    Text(60059, "no ezopen address is usable", "ezopen地址均不可用"),
    Text(60060, "live is not opened", "直播功能未开通"),
    Text(60061, "traffic is used up or not bought", "账户流量已超出或未购买，限制开通"),
    Text(60062, "live of this channel is open already", "该通道直播已开通"),
    Text(60063, "live is not used or closed", "直播未使用或直播已关闭"),
    Text(60066, "update the verification code locally", "本地更新验证码"),
    Text(60070, "device cannot be transferred to oneself", "设备不能转移给自己"),
    Text(60071, "device is linked and cannot be transferred", "设备不能转移，设备与其他设备存在关联关系"),
    Text(60072, "device is shared and cannot be transferred", "设备不能转移，通道被分享给其他用户或者分享到视频广场"),
    Text(60073, "cloud storage cannot be transferred", "云存储转移失败"),
    Text(60080, "device is locating a sound", "当前正在声源定位"),
    Text(60081, "device is cruising", "当前正在轨迹巡航"),
    Text(60082, "device is answering this sound", "设备正在响应本次声源定位"),
    Text(60083, "privacy mask is being switched on", "当前正在开启隐私遮蔽"),
    Text(60084, "privacy mask is being switched off", "当前正在关闭隐私遮蔽"),
    Text(60085, "ownership has to be confirmed first", "设备需要确权"),
    Text(60086, "ownership has to be confirmed first", "设备需要确权"),
    Text(60107, "not supported", "不支持"),
    Text(60202, "service error", "服务异常"),
    Text(60203, "service is not opened", "未开通相关服务"),
    Text(60205, "request timed out", "请求超时"),
    Text(60206, "service is busy", "并发"),
    Text(60210, "picture is broken", "图片数据错误"),
    Text(60216, "service error", "服务异常"),
    Text(70001, "too many devices at once, choose pageStart and pageSize well", "智能家居买断用户设备受到限制,建议合理选择pagestart和pageSize"),
    Text(70007, "authorisation code does not exist", "授权码不存在"),
    Text(70010, "authorisation failed, try again", "授权异常请重试"),
    Text(80502, "device is in a talk already", "设备正在对讲中"),
    Text(90002, "too many devices in the AI task", "AI任务设备配置数达到上限"),
    Text(90003, "device model has no AI tasks", "当前型号设备暂时不支持AI任务"),
    Text(90004, "device is in the task already", "设备已存在"),
    Text(90005, "AI task operation is restricted", "用户操作AI任务受限"),
    Text(90006, "device is not in an AI task", "设备未加入到AI任务"),
    Text(111000, "voice quota exceeded", "语音配额超限"),
    Text(111001, "voice file refused", "语音文件不符合要求"),
    Text(111012, "voice delivery failed", "语音下发失败"),
];
