//! Declaring messages: one line a part gives its type, its place in XML, reading and writing.

use std::borrow::Cow;
use std::time::Duration;

use av::UnixMicros;

use super::Error;
use crate::calendar;
use crate::xml::Element;

/// A value that is one piece of text.
pub trait Scalar: Sized {
    /// Reads it; `None` if the text is no such value.
    fn from_text(text: &str) -> Option<Self>;
    /// Writes it in the canonical form of its XML Schema type.
    fn to_text(&self) -> Cow<'_, str>;
}

/// What an element can hold: a [`Scalar`] as its text, or parts.
pub trait Content: Sized {
    /// Reads it out of an element, whatever the element's name.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Value`].
    fn read(element: &Element) -> Result<Self, Error>;
    /// Writes it into an empty element.
    fn write(&self, element: &mut Element);
}

/// Content with an element name of its own: the body of a SOAP message.
pub trait Message: Content {
    /// Namespace URI of the element.
    const NAMESPACE: &'static str;
    /// Local name of the element.
    const NAME: &'static str;

    /// As an element.
    fn to_element(&self) -> Element {
        let mut element = Element::new(Self::NAMESPACE, Self::NAME);
        self.write(&mut element);
        element
    }

    /// From an element.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if it has another name, else as [`Content::read`].
    fn from_element(element: &Element) -> Result<Self, Error> {
        if !element.is(Self::NAMESPACE, Self::NAME) {
            return Err(Error::Unexpected(element.name.to_string()));
        }
        Self::read(element)
    }
}

/// A request and the type of its answer.
pub trait Operation: Message {
    /// The answer.
    type Response: Message;
}

impl<S: Scalar> Content for S {
    fn read(element: &Element) -> Result<Self, Error> {
        scalar(&element.name, &element.text)
    }

    fn write(&self, element: &mut Element) {
        element.text = self.to_text().into_owned();
    }
}

fn scalar<S: Scalar>(name: &str, text: &str) -> Result<S, Error> {
    // The text is an outsider's: enough of it to find the place, not enough to fill a log.
    let bad = || Error::Value(name.to_owned(), text.chars().take(64).collect());
    S::from_text(text).ok_or_else(bad)
}

/// How often content stands under a parent: once, at most once, or any number of times.
pub(crate) trait Child: Sized {
    fn read_child(parent: &Element, namespace: &str, name: &'static str) -> Result<Self, Error>;
    fn write_child(&self, parent: &mut Element, namespace: &'static str, name: &'static str);
}

impl<C: Content> Child for C {
    fn read_child(parent: &Element, namespace: &str, name: &'static str) -> Result<Self, Error> {
        let missing = || Error::Missing(parent.name.to_string(), name);
        C::read(parent.child(namespace, name).ok_or_else(missing)?)
    }

    fn write_child(&self, parent: &mut Element, namespace: &'static str, name: &'static str) {
        let mut child = Element::new(namespace, name);
        self.write(&mut child);
        parent.children.push(child);
    }
}

impl<C: Content> Child for Option<C> {
    fn read_child(parent: &Element, namespace: &str, name: &'static str) -> Result<Self, Error> {
        parent.child(namespace, name).map(C::read).transpose()
    }

    fn write_child(&self, parent: &mut Element, namespace: &'static str, name: &'static str) {
        if let Some(content) = self {
            content.write_child(parent, namespace, name);
        }
    }
}

impl<C: Content> Child for Vec<C> {
    fn read_child(parent: &Element, namespace: &str, name: &'static str) -> Result<Self, Error> {
        parent.children(namespace, name).map(C::read).collect()
    }

    fn write_child(&self, parent: &mut Element, namespace: &'static str, name: &'static str) {
        self.iter().for_each(|content| content.write_child(parent, namespace, name));
    }
}

/// A scalar as attribute, demanded or optional.
pub(crate) trait AttributeValue: Sized {
    fn read_attribute(parent: &Element, name: &'static str) -> Result<Self, Error>;
    fn write_attribute(&self, parent: &mut Element, name: &'static str);
}

impl<S: Scalar> AttributeValue for S {
    fn read_attribute(parent: &Element, name: &'static str) -> Result<Self, Error> {
        let missing = || Error::Missing(parent.name.to_string(), name);
        scalar(name, parent.attribute("", name).ok_or_else(missing)?)
    }

    fn write_attribute(&self, parent: &mut Element, name: &'static str) {
        let (namespace, name, value) = (Cow::default(), name.into(), self.to_text().into_owned());
        parent.attributes.push(crate::xml::Attribute { namespace, name, value });
    }
}

impl<S: Scalar> AttributeValue for Option<S> {
    fn read_attribute(parent: &Element, name: &'static str) -> Result<Self, Error> {
        parent.attribute("", name).map(|text| scalar(name, text)).transpose()
    }

    fn write_attribute(&self, parent: &mut Element, name: &'static str) {
        if let Some(value) = self {
            value.write_attribute(parent, name);
        }
    }
}

impl Scalar for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn to_text(&self) -> Cow<'_, str> {
        self.into()
    }
}

impl Scalar for bool {
    fn from_text(text: &str) -> Option<Self> {
        match text.trim() {
            "1" => Some(true),
            "0" => Some(false),
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    fn to_text(&self) -> Cow<'_, str> {
        if *self { "true" } else { "false" }.into()
    }
}

impl Scalar for i32 {
    /// Cameras write integers as `25.000000` and unlimited as a number past 32 bits, which is taken
    /// as the nearest one.
    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let finite = || text.parse::<f64>().ok().filter(|value| value.is_finite());
        text.parse().ok().or_else(|| finite().map(|value| value as i32))
    }

    fn to_text(&self) -> Cow<'_, str> {
        self.to_string().into()
    }
}

impl Scalar for f32 {
    /// What turns for ever has `-INF` to `INF` as its range, which are taken as the nearest numbers. NaN is
    /// a number to XML Schema and to nothing here.
    fn from_text(text: &str) -> Option<Self> {
        let value: f32 = text.trim().parse().ok()?;
        (!value.is_nan()).then(|| value.clamp(f32::MIN, f32::MAX))
    }

    fn to_text(&self) -> Cow<'_, str> {
        self.to_string().into()
    }
}

impl Scalar for UnixMicros {
    /// An `xs:dateTime`, whatever its zone; [`calendar`] tells what is read besides.
    fn from_text(text: &str) -> Option<Self> {
        calendar::parse(text)
    }

    fn to_text(&self) -> Cow<'_, str> {
        calendar::write(*self).into()
    }
}

impl Scalar for Duration {
    /// An `xs:duration` without years and months, whose length depends on a calendar.
    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim().strip_prefix('P')?;
        let (days, time) = text.split_once('T').unwrap_or((text, ""));
        if text.is_empty() || text.ends_with('T') {
            return None;
        }
        let mut seconds = 0.0;
        for (mut part, units) in [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])] {
            for &(unit, length) in units {
                if let Some((number, rest)) = part.split_once(unit) {
                    if number.is_empty() || number.contains(|c: char| !c.is_ascii_digit() && c != '.') {
                        return None;
                    }
                    seconds += number.parse::<f64>().ok()? * length;
                    part = rest;
                }
            }
            if !part.is_empty() {
                return None;
            }
        }
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn to_text(&self) -> Cow<'_, str> {
        format!("PT{}S", self.as_secs_f64()).into()
    }
}

/// Declares types that are parts of an element.
///
/// `field: Type = elem "Name"` is a child element, `attr "Name"` an attribute; the order of lines is
/// the order of the schema. The type says how often: `T` once, `Option<T>`, `Vec<T>`. `or` gives
/// what is read when a demanded part is missing.
macro_rules! record {
    ($($(#[$meta:meta])* $name:ident in $namespace:path {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $kind:ident $xml:literal $(or $default:expr)?,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::onvif::Content for $name {
            fn read(element: &$crate::xml::Element) -> Result<Self, $crate::onvif::Error> {
                let _ = element;
                Ok(Self {
                    $($field: record!(@read element, $namespace, $kind, $xml, $type $(, $default)?),)*
                })
            }

            fn write(&self, element: &mut $crate::xml::Element) {
                let _ = &element;
                $(record!(@write self.$field, element, $namespace, $kind, $xml);)*
            }
        }
    )*};
    (@read $element:ident, $ns:path, elem, $xml:literal, $type:ty) => {
        <$type as $crate::onvif::declare::Child>::read_child($element, $ns, $xml)?
    };
    (@read $element:ident, $ns:path, elem, $xml:literal, $type:ty, $default:expr) => {
        <Option<$type> as $crate::onvif::declare::Child>::read_child($element, $ns, $xml)?
            .unwrap_or_else(|| $default)
    };
    (@read $element:ident, $ns:path, attr, $xml:literal, $type:ty) => {
        <$type as $crate::onvif::declare::AttributeValue>::read_attribute($element, $xml)?
    };
    (@read $element:ident, $ns:path, attr, $xml:literal, $type:ty, $default:expr) => {
        <Option<$type> as $crate::onvif::declare::AttributeValue>::read_attribute($element, $xml)?
            .unwrap_or_else(|| $default)
    };
    (@write $field:expr, $element:ident, $ns:path, elem, $xml:literal) => {
        $crate::onvif::declare::Child::write_child(&$field, $element, $ns, $xml)
    };
    (@write $field:expr, $element:ident, $ns:path, attr, $xml:literal) => {
        $crate::onvif::declare::AttributeValue::write_attribute(&$field, $element, $xml)
    };
}

/// Declares enumerations of words.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
            /// A word the schema does not have; cameras invent some.
            Other(String),
        }

        impl $crate::onvif::Scalar for $name {
            fn from_text(text: &str) -> Option<Self> {
                Some(match text {
                    $($word => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                })
            }

            fn to_text(&self) -> std::borrow::Cow<'_, str> {
                match self {
                    $(Self::$variant => $word.into(),)*
                    Self::Other(word) => word.into(),
                }
            }
        }
    )*};
}

/// Declares the operations of a service: each request with its answer, and an enumeration of all
/// requests.
macro_rules! service {
    ($namespace:path; $(
        $(#[$meta:meta])* $request:ident { $($request_parts:tt)* }
        -> $response:ident { $($response_parts:tt)* }
    )*) => {
        $(
            record! {
                $(#[$meta])* $request in $namespace { $($request_parts)* }
                #[doc = concat!("Answer to [`", stringify!($request), "`].")]
                $response in $namespace { $($response_parts)* }
            }

            impl $crate::onvif::Message for $request {
                const NAMESPACE: &'static str = $namespace;
                const NAME: &'static str = stringify!($request);
            }

            impl $crate::onvif::Message for $response {
                const NAMESPACE: &'static str = $namespace;
                const NAME: &'static str = stringify!($response);
            }

            impl $crate::onvif::Operation for $request {
                type Response = $response;
            }
        )*

        /// A request to this service.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $(#[doc = concat!("[`", stringify!($request), "`]")] $request($request),)*
        }

        impl Request {
            /// Reads a request from a SOAP body.
            ///
            /// # Errors
            /// [`Error::Unexpected`](crate::onvif::Error::Unexpected) if the service has no such
            /// operation, otherwise what is wrong with its arguments.
            pub fn parse(body: &$crate::xml::Element) -> Result<Self, $crate::onvif::Error> {
                use $crate::onvif::Message;
                match &*body.name {
                    $(<$request>::NAME => <$request>::from_element(body).map(Self::$request),)*
                    other => Err($crate::onvif::Error::Unexpected(other.to_owned())),
                }
            }

            /// The request as a SOAP body.
            pub fn to_element(&self) -> $crate::xml::Element {
                match self {
                    $(Self::$request(request) => $crate::onvif::Message::to_element(request),)*
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_read_as_cameras_write_them() {
        assert_eq!(i32::from_text(" 25.000000 "), Some(25));
        assert_eq!(i32::from_text("4294967295"), Some(i32::MAX));
        assert_eq!(i32::from_text("-1"), Some(-1));
        assert_eq!(i32::from_text("1e400"), None);
        assert_eq!(i32::from_text(""), None);
        assert_eq!(f32::from_text("-0.5"), Some(-0.5));
        assert_eq!(f32::from_text("NaN"), None);
        assert_eq!(f32::from_text("INF"), Some(f32::MAX));
        assert_eq!(f32::from_text("-INF"), Some(f32::MIN));
        assert_eq!(bool::from_text("TRUE"), Some(true));
        assert_eq!(bool::from_text("0"), Some(false));
        assert_eq!(bool::from_text("yes"), None);
    }

    #[test]
    fn durations_are_xml_schema_durations() {
        let seconds = |text| Duration::from_text(text).map(|d| d.as_secs_f64());
        assert_eq!(seconds("PT10S"), Some(10.0));
        assert_eq!(seconds("PT1M30.5S"), Some(90.5));
        assert_eq!(seconds("P1DT1H"), Some(90_000.0));
        assert_eq!(seconds("PT0S"), Some(0.0));
        for bad in [
            "",
            "P",
            "PT",
            "10",
            "-PT1S",
            "PT-1S",
            "P1Y",
            "P1M",
            "PT1S1M",
            "PTS",
            "P1DT",
            "PT1e9S",
            "PT99999999999999999999999S",
            "PT1",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        for millis in [0, 1, 1500, 60_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(Duration::from_text(&duration.to_text()), Some(duration));
        }
    }
}
