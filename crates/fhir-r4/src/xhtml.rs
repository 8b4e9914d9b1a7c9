//! Checks the XHTML of a narrative: well formed, and without active or external content (txt-1,
//! <http://hl7.org/fhir/R4/narrative.html>).

use roxmltree::{Document, Node};

use super::work::count;

const NAMESPACE: &str = "http://www.w3.org/1999/xhtml";

/// Bytes of a narrative, at most: the parser takes twenty times as many.
const MAX_BYTES: usize = 4 << 20;
/// Attributes of an element, at most, and namespaces besides [`NAMESPACE`]. The parser compares each with each.
const MAX_ATTRIBUTES: usize = 64;
const MAX_NAMESPACES: usize = 16;

#[rustfmt::skip]
const ELEMENTS: [&str; 48] = [
    "a", "abbr", "acronym", "b", "big", "blockquote", "br", "caption", "cite", "code", "col", "colgroup",
    "dd", "dfn", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "li", "ol",
    "p", "pre", "q", "samp", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th",
    "thead", "tr", "tt", "ul", "var",
];

#[rustfmt::skip]
const ATTRIBUTES: [&str; 49] = [
    "abbr", "accesskey", "align", "alt", "axis", "bgcolor", "border", "cellpadding", "cellspacing", "char",
    "charoff", "charset", "cite", "class", "clear", "colspan", "compact", "coords", "dir", "frame", "headers",
    "height", "href", "hreflang", "hspace", "id", "lang", "longdesc", "name", "noshade", "nowrap", "rel",
    "rev", "rowspan", "rules", "scope", "shape", "size", "span", "src", "start", "style", "summary",
    "tabindex", "title", "type", "valign", "vspace", "width",
];

/// The attributes that hold a URL.
const URLS: [&str; 4] = ["cite", "href", "longdesc", "src"];

/// Whether a URL runs nothing: a relative one, one of a few schemes, or the data of an image. Browsers skip control
/// characters and spaces in a scheme.
fn is_passive(url: &str) -> bool {
    let visible = url.chars().filter(|c| !c.is_control() && !c.is_whitespace());
    let url = visible.collect::<String>().to_ascii_lowercase();
    match url.split_once(':') {
        None | Some(("http" | "https" | "mailto", _)) => true,
        Some(("data", data)) => {
            let kind = data.split([';', ',']).next();
            matches!(kind, Some("image/png" | "image/jpeg" | "image/gif"))
        }
        // A colon in a path, a query or a fragment ends no scheme.
        Some((scheme, _)) => scheme.contains(['/', '?', '#']),
    }
}

/// Only XML's five entities and numeric ones are defined: "there is no support for HTML entities like `&nbsp;`".
pub(super) fn check(text: &str) -> Result<(), String> {
    bounds(text)?;
    let document = Document::parse(text).map_err(|error| {
        // The position alone: the message would repeat the narrative.
        let place = error.pos();
        format!("is not well-formed XHTML at line {}, column {}", place.row, place.col)
    })?;
    let root = document.root_element();
    if root.tag_name().name() != "div" || root.tag_name().namespace() != Some(NAMESPACE) {
        return Err(format!("must be a div of the namespace {NAMESPACE}"));
    }
    document.descendants().filter(Node::is_element).try_for_each(element)
}

/// Rejects what would take the parser long, and no real narrative has.
fn bounds(text: &str) -> Result<(), String> {
    let own = [format!("xmlns=\"{NAMESPACE}\""), format!("xmlns='{NAMESPACE}'")];
    let own: usize = own.iter().map(|declaration| text.matches(declaration).count()).sum();
    if text.len() > MAX_BYTES {
        Err(format!("must not exceed {MAX_BYTES} bytes"))
    } else if text.matches("xmlns").count() - own > MAX_NAMESPACES {
        Err(format!("must not have more than {MAX_NAMESPACES} other namespaces"))
    } else if text.split('<').any(|tag| attributes(tag) > MAX_ATTRIBUTES) {
        Err(format!("must not have more than {MAX_ATTRIBUTES} attributes in one element"))
    } else {
        Ok(())
    }
}

/// The attributes of the tag that follows a `<`.
fn attributes(tag: &str) -> usize {
    let mut quote = None;
    let mut attributes = 0;
    for byte in tag.bytes().take_while(|_| !tag.starts_with(['!', '?'])) {
        match (byte, quote) {
            (b'>', None) => break,
            (b'=', None) => attributes += 1,
            (b'"' | b'\'', None) => quote = Some(byte),
            (_, Some(open)) if byte == open => quote = None,
            _ => {}
        }
    }
    attributes
}

fn element(node: Node<'_, '_>) -> Result<(), String> {
    count(node.namespaces().len() + node.attributes().len().pow(2));
    let name = node.tag_name();
    if name.namespace() != Some(NAMESPACE) || !ELEMENTS.contains(&name.name()) {
        return Err("has an element that is not allowed in a narrative (txt-1)".to_owned());
    }
    for attribute in node.attributes() {
        let allowed = match attribute.namespace() {
            None => ATTRIBUTES.contains(&attribute.name()),
            Some(namespace) => namespace == roxmltree::NS_XML_URI,
        };
        if !allowed {
            return Err("has an attribute that is not allowed in a narrative (txt-1)".to_owned());
        }
        if URLS.contains(&attribute.name()) && !is_passive(attribute.value()) {
            return Err("has a URL that may be active (txt-1)".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn div(inner: &str) -> Result<(), String> {
        check(&format!("<div xmlns=\"{NAMESPACE}\">{inner}</div>"))
    }

    #[test]
    fn formatting_tables_links_and_images_are_allowed() {
        for inner in [
            "text",
            "",
            "<p class='a' style=\"color: red\">x<br/>y</p>",
            "<table><tr><td colspan=\"2\">1</td></tr></table>",
            "<a href=\"#x\">y</a><img src=\"#p1\" alt=\"\"/>",
            "<a href=\"https://x/?a=b:c\">y</a><a href=\"a/b:c\">y</a><a href=\"MAILTO:x\">y</a>",
            "<img src=\"data:image/png;base64,AA\"/><p title=\"note: x\" style=\"color:red\">y</p>",
            "<p xml:lang=\"de\">&lt;&amp;&#160;</p>",
        ] {
            assert_eq!(div(inner), Ok(()), "{inner}");
        }
    }

    #[test]
    fn active_and_external_content_is_rejected() {
        for inner in [
            "<script>x</script>",
            "<p onclick=\"x\">y</p>",
            "<a href=\" JavaScript:x\">y</a>",
            "<a href=\"java&#9;script:x\">y</a>",
            "<a href=\"java&#10;script:x\">y</a>",
            "<a href=\"java&#13;script:x\">y</a>",
            "<a href=\"data:text/html,x\">y</a>",
            "<img src=\"data:image/svg+xml,x\"/>",
            "<a href=\"ftp:x\">y</a>",
            "<iframe src=\"x\"/>",
            "<form action=\"x\"/>",
            "<link rel=\"x\"/>",
            "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        ] {
            assert!(div(inner).is_err(), "{inner}");
        }
    }

    #[test]
    fn a_narrative_is_well_formed() {
        for text in ["", "text", "<div>", "<div/><div/>"] {
            assert!(check(text).is_err(), "{text}");
        }
        for inner in ["<p>", "</p>", "<p><b></p></b>", "&nbsp;", "a & b", "<p a=1/>", "<p id='a' id='b'/>"] {
            assert!(div(inner).is_err(), "{inner}");
        }
    }

    #[test]
    fn a_narrative_is_a_div_of_the_namespace() {
        assert!(check("<div>text</div>").is_err());
        assert!(check(&format!("<p xmlns=\"{NAMESPACE}\">text</p>")).is_err());
    }

    #[test]
    fn sizes_that_no_narrative_has_are_rejected() {
        let many =
            |count: usize, what: &dyn Fn(usize) -> String| (0..count).map(what).collect::<Vec<_>>().concat();
        for (most, inner) in [
            (64, &(|n| format!("<p {}/>", many(n, &|n| format!(" a{n}='=>'")))) as &dyn Fn(usize) -> String),
            (16, &|n| many(n, &|n| format!("<p xmlns:a{n}='x'/>"))),
            (4_194_304 - 48, &|n| "x".repeat(n)),
        ] {
            let bounded = |inner: String| div(&inner).is_err_and(|reason| reason.starts_with("must not"));
            assert!(!bounded(inner(most)) && bounded(inner(most + 1)), "{most}");
        }
        let own = format!("<p xmlns=\"{NAMESPACE}\" title=\"========\">=====</p><!-- don't = -->");
        assert_eq!(div(&own.repeat(100)), Ok(()));
    }

    #[test]
    fn entities_are_not_expanded() {
        let bomb = format!("<!DOCTYPE div [<!ENTITY a \"aa\">]><div xmlns=\"{NAMESPACE}\">&a;</div>");
        assert!(check(&bomb).is_err());
    }

    #[test]
    fn a_broken_narrative_is_located_and_not_repeated() {
        let reason = div("<Patient-Name>").unwrap_err();
        assert!(reason.contains("line 1") && !reason.contains("Patient"), "{reason}");
    }
}
