//! Declaring documents: one line a part gives its type, its place in XML, reading and writing.
//!
//! Names are compared without their namespace and without case: devices differ in both
//! (`hikvision.com`, `isapi.org` or none; `Min` and `min`).

use super::Error;
use crate::onvif::Scalar;
use crate::xml::Element;

/// What an element can hold: one piece of text, or parts.
pub trait Content: Sized {
    /// Reads it out of an element, whatever the element's name.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Value`].
    fn read(element: &Element) -> Result<Self, Error>;
    /// Writes it into an empty element.
    fn write(&self, element: &mut Element);
}

/// Whether the element has that name.
pub(super) fn is(element: &Element, name: &str) -> bool {
    element.name.eq_ignore_ascii_case(name)
}

impl<S: Scalar> Content for S {
    fn read(element: &Element) -> Result<Self, Error> {
        // The text is an outsider's: enough of it to find the place, not enough to fill a log.
        let bad = || Error::Value(element.name.to_string(), element.text.chars().take(64).collect());
        S::from_text(&element.text).ok_or_else(bad)
    }

    fn write(&self, element: &mut Element) {
        element.text = self.to_text().into_owned();
    }
}

/// How often content stands under a parent: once, at most once, or any number of times.
pub(super) trait Child: Sized {
    /// `path` is a name, or `List/Item` for items in an element of their own.
    fn read_child(parent: &Element, path: &'static str) -> Result<Self, Error>;
    fn write_child(&self, parent: &mut Element, path: &'static str);
}

impl<C: Content> Child for C {
    fn read_child(parent: &Element, name: &'static str) -> Result<Self, Error> {
        let found = parent.children.iter().find(|child| is(child, name));
        C::read(found.ok_or_else(|| Error::Missing(parent.name.to_string(), name))?)
    }

    fn write_child(&self, parent: &mut Element, name: &'static str) {
        let mut child = Element::new("", name);
        self.write(&mut child);
        parent.children.push(child);
    }
}

impl<C: Content> Child for Option<C> {
    /// An empty element is an absent value: devices write `<portNo/>`.
    fn read_child(parent: &Element, name: &'static str) -> Result<Self, Error> {
        let empty = |child: &Element| child.text.is_empty() && child.children.is_empty() && child.attributes.is_empty();
        parent.children.iter().find(|child| is(child, name) && !empty(child)).map(C::read).transpose()
    }

    fn write_child(&self, parent: &mut Element, name: &'static str) {
        if let Some(content) = self {
            content.write_child(parent, name);
        }
    }
}

impl<C: Content> Child for Vec<C> {
    fn read_child(parent: &Element, path: &'static str) -> Result<Self, Error> {
        let (list, name) = path.split_once('/').unwrap_or(("", path));
        let items = |parent: &Element| {
            parent.children.iter().filter(|child| is(child, name)).map(C::read).collect::<Result<Vec<C>, Error>>()
        };
        match parent.children.iter().find(|child| is(child, list)) {
            Some(list) => items(list),
            None if list.is_empty() => items(parent),
            None => Ok(Vec::new()),
        }
    }

    fn write_child(&self, parent: &mut Element, path: &'static str) {
        let Some((list, name)) = path.split_once('/') else {
            return self.iter().for_each(|content| content.write_child(parent, path));
        };
        let mut items = Element::new("", list);
        self.iter().for_each(|content| content.write_child(&mut items, name));
        parent.children.push(items);
    }
}

/// Declares types that are parts of an element.
///
/// `field: Type = "name"` is a child element; the order of lines is the order written, which older
/// firmware insists on. The type says how often: `T` once, `Option<T>`, `Vec<T>`, the latter also as
/// `"List/Item"`. `or` gives what is read when a demanded part is missing.
macro_rules! record {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty = $xml:literal $(or $default:expr)?,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::isapi::Content for $name {
            fn read(element: &$crate::xml::Element) -> Result<Self, $crate::isapi::Error> {
                Ok(Self { $($field: record!(@read element, $xml, $type $(, $default)?),)* })
            }

            fn write(&self, element: &mut $crate::xml::Element) {
                $($crate::isapi::declare::Child::write_child(&self.$field, element, $xml);)*
            }
        }
    )*};
    (@read $element:ident, $xml:literal, $type:ty) => {
        <$type as $crate::isapi::declare::Child>::read_child($element, $xml)?
    };
    (@read $element:ident, $xml:literal, $type:ty, $default:expr) => {
        <Option<$type> as $crate::isapi::declare::Child>::read_child($element, $xml)?.unwrap_or_else(|| $default)
    };
}

/// Declares which of the types are whole documents, under which name.
macro_rules! documents {
    ($($name:ident = $xml:literal $(also $also:literal)?,)*) => {$(
        impl $crate::isapi::Document for $name {
            const NAME: &'static str = $xml;
            $(const ALSO: Option<&'static str> = Some($also);)?
        }
    )*};
}
