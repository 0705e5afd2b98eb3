//! XML as .NET's data contracts write it. No document types and no entities but XML's own five: what declares or names one
//! is refused.

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesRef, BytesStart, Event};
use serde_json::{Map, Value};

use super::Unreadable;
use crate::http::body::JSON_LEVELS_MAX;

const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
const DTOS: &str = "http://schemas.datacontract.org/2004/07/BokaMera.API.ServiceModel.Dtos";
const ERRORS: &str = "http://schemas.servicestack.net/types";
/// Elements whose children are items, whatever they are called.
const LISTS: [&str; 1] = ["articles"];

/// An element that is open.
struct Open {
    name: String,
    is_nil: bool,
    text: String,
    children: Vec<(String, Value)>,
}

/// What is in the root element.
pub fn read(text: &str) -> Result<Value, Unreadable> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    loop {
        let event = reader.read_event().map_err(|_| Unreadable)?;
        let ended = match event {
            Event::Start(start) => {
                if open.len() >= JSON_LEVELS_MAX || root.is_some() {
                    return Err(Unreadable);
                }
                open.push(opened(&start)?);
                None
            }
            Event::Empty(start) => Some(opened(&start)?),
            Event::End(_) => Some(open.pop().ok_or(Unreadable)?),
            Event::Text(text) => {
                add(&mut open, &text.xml10_content())?;
                None
            }
            Event::CData(text) => {
                add(&mut open, &text.xml10_content())?;
                None
            }
            Event::GeneralRef(named) => {
                add(&mut open, &resolved(&named)?)?;
                None
            }
            Event::Decl(_) | Event::Comment(_) => None,
            Event::DocType(_) | Event::PI(_) => return Err(Unreadable),
            Event::Eof => break,
        };
        if let Some(ended) = ended {
            let (name, value) = closed(ended);
            match open.last_mut() {
                Some(parent) => parent.children.push((name, value)),
                None if root.is_none() => root = Some(value),
                None => return Err(Unreadable),
            }
        }
    }
    root.filter(|_| open.is_empty()).ok_or(Unreadable)
}

fn opened(start: &BytesStart<'_>) -> Result<Open, Unreadable> {
    let name = start.local_name().as_ref().to_owned();
    let mut is_nil = false;
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| Unreadable)?;
        let said: &str = &attribute.value;
        is_nil |= attribute.key.local_name().as_ref() == "nil" && (said == "true" || said == "1");
    }
    Ok(Open {
        name,
        is_nil,
        text: String::new(),
        children: vec![],
    })
}

/// Text outside of the root is white space, or it is no XML.
fn add(open: &mut [Open], text: &str) -> Result<(), Unreadable> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim_start_matches('\u{feff}').trim().is_empty() => {}
        None => return Err(Unreadable),
    }
    Ok(())
}

fn resolved(named: &BytesRef<'_>) -> Result<String, Unreadable> {
    if let Some(letter) = named.resolve_char_ref().map_err(|_| Unreadable)? {
        return Ok(letter.to_string());
    }
    let name = named.xml10_content();
    let text = resolve_predefined_entity(&name).ok_or(Unreadable)?;
    Ok(text.to_owned())
}

fn closed(it: Open) -> (String, Value) {
    let is_list = LISTS.iter().any(|list| it.name.eq_ignore_ascii_case(list));
    let value = if it.is_nil {
        Value::Null
    } else if is_list {
        it.children.into_iter().map(|(_, item)| item).collect()
    } else if it.children.is_empty() && !it.text.is_empty() {
        Value::String(it.text)
    } else if it.children.is_empty() {
        Value::String(String::new())
    } else {
        Value::Object(Map::from_iter(it.children))
    };
    (it.name, value)
}

/// The members under a root element, in the order of the alphabet, as data contracts want them.
pub fn write(root: &str, members: &[(&str, Value)]) -> String {
    let namespace = if root == "ErrorResponse" {
        ERRORS
    } else {
        DTOS
    };
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><{root} xmlns:i=\"{INSTANCE}\" xmlns=\"{namespace}\">"
    );
    let mut sorted: Vec<&(&str, Value)> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in sorted {
        element(name, value, &mut text);
    }
    text.push_str(&format!("</{root}>"));
    text
}

/// XML 1.0 has no way to write the others.
fn is_allowed(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

fn element(name: &str, value: &Value, to: &mut String) {
    if value.is_null() {
        to.push_str(&format!("<{name} i:nil=\"true\" />"));
        return;
    }
    to.push_str(&format!("<{name}>"));
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in sorted {
                element(name, value, to);
            }
        }
        // The only list of an answer is that of the fields at fault.
        Value::Array(items) => items
            .iter()
            .for_each(|item| element("ResponseError", item, to)),
        Value::String(text) => {
            let allowed: String = text.chars().filter(|it| is_allowed(*it)).collect();
            // A reader would make a line feed of a bare carriage return.
            to.push_str(&escape(allowed.as_str()).replace('\r', "&#13;"));
        }
        other => to.push_str(&other.to_string()),
    }
    to.push_str(&format!("</{name}>"));
}
