//! A small XML tree, for the dialects cameras speak: SOAP, ISAPI, MANSCDP.
//!
//! Names are compared by namespace URI, never by prefix. A document type declaration and any entity
//! that XML itself does not define are refused, so nothing expands. What is read is bounded by
//! [`DOCUMENT_BYTES_MAX`] and its neighbours.
//!
//! Sources: XML 1.0 (fifth edition), Namespaces in XML 1.0.

use std::borrow::Cow;
use std::collections::BTreeMap;

use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};

/// Longest document read, in bytes: the largest answers seen (profiles of a 64-channel recorder)
/// are under 200 KiB. Longer ones are refused.
pub const DOCUMENT_BYTES_MAX: usize = 256 << 10;
/// Deepest nesting read; ONVIF's own schemas stay under 20. Deeper is refused.
pub const DEPTH_MAX: usize = 64;
/// Most attributes of one element, namespace declarations included (gSOAP declares about 40 on the
/// envelope). More are refused.
pub const ATTRIBUTES_MAX: usize = 96;
/// Most elements of one document: bounds the tree at a few MiB. More are refused.
pub const ELEMENTS_MAX: usize = 16_384;

const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// Why a document was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not well-formed; the text says where.
    #[error("XML is not well-formed: {0}")]
    Syntax(String),
    /// One of this module's limits was passed; the text names it.
    #[error("XML passes a limit: {0}")]
    Limit(&'static str),
    /// A document type declaration or an entity other than XML's own five.
    #[error("XML has a document type or an entity, which are refused")]
    Entity,
    /// A prefix that no declaration in scope binds.
    #[error("XML prefix `{0}` is not bound")]
    Prefix(String),
}

/// An attribute; `namespace` is empty for the usual unprefixed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Namespace URI or empty.
    pub namespace: Cow<'static, str>,
    /// Local name.
    pub name: Cow<'static, str>,
    /// Value with references resolved.
    pub value: String,
}

/// An element. Mixed content keeps no order between text and children: no dialect here has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Namespace URI or empty.
    pub namespace: Cow<'static, str>,
    /// Local name.
    pub name: Cow<'static, str>,
    /// Attributes other than namespace declarations.
    pub attributes: Vec<Attribute>,
    /// Child elements in document order.
    pub children: Vec<Element>,
    /// Text with references resolved, trimmed of white space at both ends.
    pub text: String,
}

impl Element {
    /// An empty element.
    pub fn new(namespace: &'static str, name: &'static str) -> Self {
        Self { namespace: namespace.into(), name: name.into(), ..Self::default() }
    }

    /// With this text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// With one more child, after those it has.
    #[must_use]
    pub fn with(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    /// With one more attribute without namespace.
    #[must_use]
    pub fn with_attribute(self, name: &'static str, value: impl Into<String>) -> Self {
        self.with_attribute_in("", name, value)
    }

    /// With one more attribute of a namespace.
    #[must_use]
    pub fn with_attribute_in(mut self, namespace: &'static str, name: &'static str, value: impl Into<String>) -> Self {
        let (namespace, name) = (namespace.into(), name.into());
        self.attributes.push(Attribute { namespace, name, value: value.into() });
        self
    }

    /// Whether this is that name.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.namespace == namespace
    }

    /// The first child of that name.
    pub fn child(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// All children of that name.
    pub fn children<'a>(&'a self, namespace: &'a str, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.is(namespace, name))
    }

    /// The value of an attribute; `namespace` is empty for the usual unprefixed one.
    pub fn attribute(&self, namespace: &str, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name && attribute.namespace == namespace)
            .map(|attribute| attribute.value.as_str())
    }
}

/// What one family of documents agrees on beyond XML.
///
/// Content of type QName (SOAP fault codes, WS-Discovery types, topics of events) means a URI through a
/// prefix that is only known while parsing. Elements listed in `qnames` therefore hold it in the tree as
/// `{uri}local`, several separated by one space, and writing turns it back.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Prefix and URI, used when writing; a URI not listed gets a made-up prefix.
    pub prefixes: &'static [(&'static str, &'static str)],
    /// Namespace and local name of elements whose text is a list of QNames.
    pub qnames: &'static [(&'static str, &'static str)],
}

impl Dialect {
    fn holds_qnames(&self, element: &Element) -> bool {
        self.qnames.iter().any(|&(namespace, name)| element.is(namespace, name))
    }

    /// Reads a document and returns its root. Bytes that are not UTF-8 become U+FFFD, because some
    /// cameras keep names in the encoding of their web page.
    ///
    /// # Errors
    /// If it is not well-formed, passes a limit, or holds a document type or foreign entity.
    pub fn parse(&self, document: &[u8]) -> Result<Element, Error> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(Error::Limit("DOCUMENT_BYTES_MAX"));
        }
        let text = String::from_utf8_lossy(document);
        // Some cameras send blank lines or a byte order mark before the declaration.
        let text = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_ascii_whitespace());
        let mut reader = quick_xml::Reader::from_str(text);
        let mut scope = Scope::default();
        let mut open: Vec<Element> = Vec::new();
        let mut elements = 0usize;
        loop {
            let event = reader.read_event().map_err(syntax)?;
            let empty = matches!(event, Event::Empty(_));
            match event {
                Event::Start(tag) | Event::Empty(tag) => {
                    elements += 1;
                    if elements > ELEMENTS_MAX {
                        return Err(Error::Limit("ELEMENTS_MAX"));
                    }
                    if open.len() >= DEPTH_MAX {
                        return Err(Error::Limit("DEPTH_MAX"));
                    }
                    open.push(scope.enter(&tag, open.len())?);
                    if empty && let Some(root) = self.close(&mut open, &mut scope) {
                        return finish(reader, root);
                    }
                }
                Event::End(_) => {
                    if let Some(root) = self.close(&mut open, &mut scope) {
                        return finish(reader, root);
                    }
                }
                Event::Text(text) => append(&mut open, &text.xml10_content())?,
                Event::CData(text) => append(&mut open, &text.xml10_content())?,
                Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(syntax)? {
                    Some(c) => append(&mut open, c.encode_utf8(&mut [0; 4]))?,
                    None => append(&mut open, resolve_predefined_entity(&reference).ok_or(Error::Entity)?)?,
                },
                Event::DocType(_) => return Err(Error::Entity),
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => return Err(Error::Syntax("it ends before its root does".into())),
            }
        }
    }

    /// Ends the innermost open element; the root is returned when that was it.
    fn close(&self, open: &mut Vec<Element>, scope: &mut Scope) -> Option<Element> {
        let mut element = open.pop()?;
        let trimmed = element.text.trim();
        element.text = if self.holds_qnames(&element) {
            let names: Vec<_> = trimmed.split_ascii_whitespace().map(|n| scope.expand(n)).collect();
            names.join(" ")
        } else {
            trimmed.to_owned()
        };
        scope.leave(open.len());
        match open.last_mut() {
            Some(parent) => {
                parent.children.push(element);
                None
            }
            None => Some(element),
        }
    }

    /// Writes a document with declaration; every namespace is declared on the root. Characters that
    /// XML cannot carry become U+FFFD.
    pub fn write(&self, root: &Element) -> String {
        let mut prefixes = BTreeMap::new();
        self.collect(root, &mut prefixes);
        let mut made_up = 0;
        for (uri, prefix) in &mut prefixes {
            *prefix = match self.prefixes.iter().find(|(_, known)| known == uri) {
                Some((known, _)) => (*known).to_owned(),
                None => {
                    made_up += 1;
                    format!("n{made_up}")
                }
            };
        }
        let mut out = String::from(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
        self.write_element(root, &prefixes, true, &mut out);
        out
    }

    fn collect<'a>(&self, element: &'a Element, prefixes: &mut BTreeMap<&'a str, String>) {
        let attributes = element.attributes.iter().map(|attribute| &*attribute.namespace);
        let names = if self.holds_qnames(element) { element.text.as_str() } else { "" };
        let qnames = names.split_ascii_whitespace().filter_map(clark).map(|(uri, _)| uri);
        for uri in std::iter::once(&*element.namespace).chain(attributes).chain(qnames) {
            if !uri.is_empty() && uri != XML_NAMESPACE {
                prefixes.entry(uri).or_default();
            }
        }
        element.children.iter().for_each(|child| self.collect(child, prefixes));
    }

    fn write_element(&self, element: &Element, prefixes: &BTreeMap<&str, String>, root: bool, out: &mut String) {
        let qualified = |uri: &str, name: &str| match prefixes.get(uri) {
            Some(prefix) => format!("{prefix}:{name}"),
            None if uri == XML_NAMESPACE => format!("xml:{name}"),
            None => name.to_owned(),
        };
        let name = qualified(&element.namespace, &element.name);
        out.push('<');
        out.push_str(&name);
        if root {
            for (uri, prefix) in prefixes {
                out.push_str(&format!(r#" xmlns:{prefix}="{}""#, escape(*uri)));
            }
        }
        for attribute in &element.attributes {
            let (name, value) = (qualified(&attribute.namespace, &attribute.name), &attribute.value);
            // Line ends in an attribute would be read back as blanks.
            let value = escape(legal(value)).replace('\n', "&#10;").replace('\t', "&#9;");
            out.push_str(&format!(r#" {name}="{}""#, value.replace('\r', "&#13;")));
        }
        if element.children.is_empty() && element.text.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        if self.holds_qnames(element) {
            let names = element.text.split_ascii_whitespace();
            let names = names.map(|name| match clark(name) {
                Some((uri, local)) => qualified(uri, local),
                None => name.to_owned(),
            });
            out.push_str(&escape(legal(&names.collect::<Vec<_>>().join(" "))));
        } else {
            out.push_str(&escape(legal(&element.text)).replace('\r', "&#13;"));
        }
        for child in &element.children {
            self.write_element(child, prefixes, false, out);
        }
        out.push_str("</");
        out.push_str(&name);
        out.push('>');
    }
}

/// Splits `{uri}local`.
pub fn clark(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix('{')?.split_once('}').filter(|(uri, path)| !uri.is_empty() && is_path(path))
}

/// Only white space, comments and processing instructions may follow the root.
fn finish(mut reader: quick_xml::Reader<&[u8]>, root: Element) -> Result<Element, Error> {
    loop {
        match reader.read_event().map_err(syntax)? {
            Event::Eof => return Ok(root),
            Event::Comment(_) | Event::PI(_) => {}
            // A trailing NUL is a C string sent with its end.
            Event::Text(text) if text.chars().all(|c| c.is_whitespace() || c == '\0') => {}
            _ => return Err(Error::Syntax("something follows the root".into())),
        }
    }
}

fn append(open: &mut [Element], text: &str) -> Result<(), Error> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(Error::Syntax("text outside the root".into())),
    }
    Ok(())
}

fn syntax(error: impl std::fmt::Display) -> Error {
    Error::Syntax(error.to_string())
}

fn legal(text: &str) -> Cow<'_, str> {
    let illegal =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    match text.contains(illegal) {
        true => text.replace(illegal, "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Namespace bindings of the open elements, innermost last.
#[derive(Default)]
struct Scope {
    /// Depth it was declared at, prefix (empty for the default namespace), URI.
    bindings: Vec<(usize, String, Cow<'static, str>)>,
}

impl Scope {
    /// Reads a start tag at `depth`.
    fn enter(&mut self, tag: &BytesStart<'_>, depth: usize) -> Result<Element, Error> {
        let mut attributes = Vec::new();
        for (count, attribute) in tag.attributes().enumerate() {
            if count >= ATTRIBUTES_MAX {
                return Err(Error::Limit("ATTRIBUTES_MAX"));
            }
            let attribute = attribute.map_err(syntax)?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| match error {
                quick_xml::Error::Escape(quick_xml::escape::EscapeError::UnrecognizedEntity(..)) => Error::Entity,
                other => syntax(other),
            })?;
            let name: &str = attribute.key.as_ref();
            let prefix = match name.split_once(':') {
                None if name == "xmlns" => "",
                Some(("xmlns", prefix)) => prefix,
                _ => {
                    attributes.push((name.to_owned(), value.into_owned()));
                    continue;
                }
            };
            if value.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}')) {
                return Err(Error::Syntax(format!("`{value}` is no namespace")));
            }
            self.bindings.push((depth, prefix.to_owned(), value.into_owned().into()));
        }
        let (namespace, name) = self.resolve(tag.name().as_ref())?;
        let attributes = attributes.into_iter().map(|(name, value)| {
            // An unprefixed attribute is in no namespace, whatever the default one is.
            let (namespace, name) = match name.contains(':') {
                true => self.resolve(&name)?,
                false if is_ncname(&name) => (Cow::default(), name.into()),
                false => return Err(Error::Syntax(format!("`{name}` is no name"))),
            };
            Ok(Attribute { namespace, name, value })
        });
        let attributes = attributes.collect::<Result<Vec<_>, Error>>()?;
        // Two prefixes of one namespace make the same name twice.
        let repeats = |(i, one): (usize, &Attribute)| {
            let same = |other: &Attribute| other.name == one.name && other.namespace == one.namespace;
            attributes[..i].iter().any(same)
        };
        if attributes.iter().enumerate().any(repeats) {
            return Err(Error::Syntax(format!("`{name}` repeats an attribute")));
        }
        Ok(Element { namespace, name, attributes, ..Element::default() })
    }

    /// Forgets what was declared at `depth` or deeper.
    fn leave(&mut self, depth: usize) {
        while self.bindings.last().is_some_and(|(declared, ..)| *declared >= depth) {
            self.bindings.pop();
        }
    }

    fn lookup(&self, prefix: &str) -> Option<Cow<'static, str>> {
        match self.bindings.iter().rev().find(|(_, bound, _)| bound == prefix) {
            Some((_, _, uri)) => Some(uri.clone()),
            None if prefix.is_empty() => Some(Cow::default()),
            None if prefix == "xml" => Some(XML_NAMESPACE.into()),
            None => None,
        }
    }

    fn resolve(&self, name: &str) -> Result<(Cow<'static, str>, Cow<'static, str>), Error> {
        let (prefix, local) = match name.split_once(':') {
            Some(("", _)) => return Err(Error::Syntax(format!("`{name}` is no name"))),
            Some(parts) => parts,
            None => ("", name),
        };
        if !is_ncname(local) {
            return Err(Error::Syntax(format!("`{name}` is no name")));
        }
        let uri = self.lookup(prefix).ok_or_else(|| Error::Prefix(prefix.to_owned()))?;
        Ok((uri, local.to_owned().into()))
    }

    /// A QName as `{uri}local`. One whose prefix nobody bound stays as it is: cameras do that in
    /// faults, where the local part still tells.
    fn expand(&self, name: &str) -> String {
        let (prefix, path) = name.split_once(':').unwrap_or(("", name));
        match self.lookup(prefix) {
            Some(uri) if !uri.is_empty() && is_path(path) => format!("{{{uri}}}{path}"),
            _ => name.to_owned(),
        }
    }
}

/// Whether this is a local name, or several of them: a concrete topic (WS-Topics 1.3 §7.2) has a prefix
/// at its first name alone, as ONVIF writes them.
fn is_path(path: &str) -> bool {
    path.split('/').all(is_ncname)
}

/// Whether this is a name without colon.
fn is_ncname(name: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PLAIN: Dialect = Dialect { prefixes: &[("a", "urn:a")], qnames: &[("urn:a", "type")] };

    #[test]
    fn names_are_compared_by_uri() {
        for text in [
            r#"<x:r xmlns:x="urn:a"><x:c k="1">t</x:c></x:r>"#,
            r#"<r xmlns="urn:a"><c k="1"> t
               </c></r>"#,
            r#"<r xmlns="urn:a"><q:c xmlns:q="urn:a" k='1'><![CDATA[t]]></q:c></r>"#,
            "\u{feff}\r\n<?xml version='1.0'?><!-- c --><r xmlns='urn:a'><c k='&#49;'>&#x74;</c></r>\0",
        ] {
            let root = PLAIN.parse(text.as_bytes()).unwrap();
            assert!(root.is("urn:a", "r"), "{text}");
            let child = root.child("urn:a", "c").unwrap();
            assert_eq!((child.text.as_str(), child.attribute("", "k")), ("t", Some("1")), "{text}");
        }
    }

    #[test]
    fn scope_ends_with_its_element() {
        let text = r#"<r xmlns="urn:a"><c xmlns="urn:b"/><c/><c xmlns=""/></r>"#;
        let root = PLAIN.parse(text.as_bytes()).unwrap();
        let spaces: Vec<_> = root.children.iter().map(|child| child.namespace.as_ref()).collect();
        assert_eq!(spaces, ["urn:b", "urn:a", ""]);
        let unbound = br#"<r><c xmlns:p="urn:b"/><p:c/></r>"#;
        assert_eq!(PLAIN.parse(unbound), Err(Error::Prefix("p".into())));
    }

    #[test]
    fn qnames_keep_their_uri_whatever_the_prefix() {
        let text = r#"<a:type xmlns:a="urn:a" xmlns:z="urn:z"> z:One a:Two free:Three </a:type>"#;
        let root = PLAIN.parse(text.as_bytes()).unwrap();
        assert_eq!(root.text, "{urn:z}One {urn:a}Two free:Three");
        let written = PLAIN.write(&root);
        assert!(written.contains("n1:One a:Two free:Three"), "{written}");
        assert_eq!(PLAIN.parse(written.as_bytes()).unwrap(), root);
    }

    #[test]
    fn document_types_and_entities_are_refused() {
        for text in [
            "<!DOCTYPE r [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><r>&e;</r>",
            "<!DOCTYPE r><r/>",
            "<r>&e;</r>",
            "<r k='&e;'/>",
        ] {
            assert_eq!(PLAIN.parse(text.as_bytes()), Err(Error::Entity), "{text}");
        }
    }

    #[test]
    fn limits_hold_one_past_the_edge_and_not_on_it() {
        let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert!(PLAIN.parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(PLAIN.parse(nested(DEPTH_MAX + 1).as_bytes()), Err(Error::Limit("DEPTH_MAX")));

        let attributes = |n: usize| {
            let list: String = (0..n).map(|i| format!(" a{i}='1'")).collect();
            format!("<a{list}/>")
        };
        assert!(PLAIN.parse(attributes(ATTRIBUTES_MAX).as_bytes()).is_ok());
        let over = attributes(ATTRIBUTES_MAX + 1);
        assert_eq!(PLAIN.parse(over.as_bytes()), Err(Error::Limit("ATTRIBUTES_MAX")));

        let wide = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n - 1));
        assert!(PLAIN.parse(wide(ELEMENTS_MAX).as_bytes()).is_ok());
        assert_eq!(PLAIN.parse(wide(ELEMENTS_MAX + 1).as_bytes()), Err(Error::Limit("ELEMENTS_MAX")));

        let long = |n: usize| format!("<a>{}</a>", "x".repeat(n - 7));
        assert!(PLAIN.parse(long(DOCUMENT_BYTES_MAX).as_bytes()).is_ok());
        let over = long(DOCUMENT_BYTES_MAX + 1);
        assert_eq!(PLAIN.parse(over.as_bytes()), Err(Error::Limit("DOCUMENT_BYTES_MAX")));
    }

    #[test]
    fn broken_documents_are_errors() {
        for text in [
            "",
            "   ",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "x",
            "<a b></a>",
            "<a b='1' b='2'/>",
            "<a>&#xD800;</a>",
            "<a>& b</a>",
            "not xml at all",
            "<",
            "<?xml",
            "<a><![CDATA[x</a>",
        ] {
            assert!(matches!(PLAIN.parse(text.as_bytes()), Err(Error::Syntax(_))), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let root = Element::new("urn:a", "r")
            .with_attribute("k", "<\"&'>\n\t\r")
            .with_attribute_in("urn:b", "l", "2")
            .with_attribute_in(XML_NAMESPACE, "lang", "en")
            .with(Element::new("", "plain").with_text("a < b && c > d \" ' ]]> \r 萤石"))
            .with(Element::new("urn:c", "empty"));
        assert_eq!(PLAIN.parse(PLAIN.write(&root).as_bytes()).unwrap(), root);
        let control = Element::new("", "r").with_text("a\0b\u{1b}c");
        assert_eq!(PLAIN.parse(PLAIN.write(&control).as_bytes()).unwrap().text, "a\u{fffd}b\u{fffd}c");
    }
}
