//! From a path and a method to a rule. Knows templates, not messages.

use std::collections::BTreeMap;

use http::Method;

use super::template::{Segment, Template};

/// Rules by path: a literal before a variable, longer before shorter, `**` last.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    literals: BTreeMap<String, Trie>,
    any: Option<Box<Trie>>,
    rest: Option<Leaf>,
    leaf: Leaf,
}

/// The rules that end in one place: verb behind the colon, method, rule. Few, so that they are walked.
type Leaf = Vec<(Option<String>, Method, usize)>;

/// What stands under a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Match<'a> {
    /// A rule, and the segments of the path without its verb.
    Rule(usize, Vec<&'a str>),
    /// Rules for other methods only.
    Methods(Vec<Method>),
    /// Nothing.
    Nothing,
}

impl Trie {
    /// Adds a rule. The error is the rule that stands there already.
    pub(crate) fn insert(&mut self, template: &Template, method: &Method, rule: usize) -> Result<(), usize> {
        let mut node = self;
        let mut steps = template.segments.iter();
        let leaf = loop {
            node = match steps.next() {
                None => break &mut node.leaf,
                Some(Segment::Rest) => break node.rest.get_or_insert_default(),
                Some(Segment::Any) => node.any.get_or_insert_default(),
                Some(Segment::Literal(text)) => node.literals.entry(text.clone()).or_default(),
            };
        };
        if let Some((_, _, other)) = leaf.iter().find(|(verb, taken, _)| *verb == template.verb && taken == method) {
            return Err(*other);
        }
        leaf.push((template.verb.clone(), method.clone(), rule));
        Ok(())
    }

    /// Looks a path up. A colon in the last segment is a verb where a rule says so; otherwise it is data.
    pub(crate) fn find<'a>(&self, path: &'a str, method: &Method) -> Match<'a> {
        let mut segments = Vec::with_capacity(USUAL_SEGMENTS);
        segments.extend(path.strip_prefix('/').unwrap_or(path).split('/'));
        let whole = segments.last().copied().unwrap_or_default();
        if let Some((stem, verb)) = whole.rsplit_once(':') {
            set_last(&mut segments, stem);
            let mut search = Search { verb: Some(verb), method, others: Vec::new() };
            if let Some(rule) = search.below(self, &segments) {
                return Match::Rule(rule, segments);
            }
            if !search.others.is_empty() {
                return Match::Methods(search.others);
            }
            set_last(&mut segments, whole);
        }
        let mut search = Search { verb: None, method, others: Vec::new() };
        match search.below(self, &segments) {
            Some(rule) => Match::Rule(rule, segments),
            None if search.others.is_empty() => Match::Nothing,
            None => Match::Methods(search.others),
        }
    }
}

/// No path of ours is deeper.
const USUAL_SEGMENTS: usize = 12;

fn set_last<'a>(segments: &mut [&'a str], text: &'a str) {
    if let Some(last) = segments.last_mut() {
        *last = text;
    }
}

struct Search<'a> {
    verb: Option<&'a str>,
    method: &'a Method,
    /// Methods met on the way that were not asked for.
    others: Vec<Method>,
}

impl Search<'_> {
    /// Visits each node at most once: every node is reached by one way only.
    fn below(&mut self, node: &Trie, segments: &[&str]) -> Option<usize> {
        let rest = |search: &mut Self| node.rest.as_ref().and_then(|leaf| search.pick(leaf));
        let Some((first, after)) = segments.split_first() else {
            return self.pick(&node.leaf).or_else(|| rest(self));
        };
        if first.is_empty() {
            return None;
        }
        let literal = node.literals.get(*first).and_then(|next| self.below(next, after));
        let any = literal.or_else(|| node.any.as_ref().and_then(|next| self.below(next, after)));
        any.or_else(|| if after.iter().any(|segment| segment.is_empty()) { None } else { rest(self) })
    }

    fn pick(&mut self, leaf: &Leaf) -> Option<usize> {
        let rules = || leaf.iter().filter(|(verb, ..)| verb.as_deref() == self.verb);
        let by = |wanted: &Method| rules().find(|(_, method, _)| method == wanted).map(|(.., rule)| *rule);
        let found = by(self.method).or_else(|| if self.method == Method::HEAD { by(&Method::GET) } else { None });
        if found.is_none() {
            let others: Vec<Method> = rules().map(|(_, method, _)| method.clone()).collect();
            self.others.extend(others);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn trie(rules: &[&str]) -> Trie {
        let mut trie = Trie::default();
        for (at, rule) in rules.iter().enumerate() {
            let (method, template) = rule.split_once(' ').unwrap();
            trie.insert(&Template::parse(template).unwrap(), &method.parse().unwrap(), at).unwrap();
        }
        trie
    }

    /// `rules[n]` for a match, `405 …` for other methods, `404`.
    fn check(rules: &[&str], table: &[(&str, &str)]) {
        let trie = trie(rules);
        for (ask, expected) in table {
            let (method, path) = ask.split_once(' ').unwrap();
            let found = match trie.find(path, &method.parse().unwrap()) {
                Match::Rule(rule, _) => rules[rule].to_owned(),
                Match::Methods(methods) => format!("405 {}", methods.iter().map(Method::as_str).collect::<Vec<_>>().join(",")),
                Match::Nothing => "404".to_owned(),
            };
            assert_eq!(found, *expected, "{ask}");
        }
    }

    #[test]
    fn the_plugin_routes_meet_in_one_position() {
        let rules = [
            "GET /api/core/plugins/catalog",
            "GET /api/core/plugins/{plugin_id}",
            "GET /api/core/plugins/{plugin_id}/manifest",
            "GET /api/core/plugins/apps/{app_id}",
            "POST /api/core/plugins/apps/{app_id}/install",
            "DELETE /api/core/plugins/apps/{app_id}/{plugin_id}",
            "PATCH /api/core/plugins/apps/{app_id}/{plugin_id}",
        ];
        check(
            &rules,
            &[
                ("GET /api/core/plugins/catalog", rules[0]),
                ("GET /api/core/plugins/moz.app.blog", rules[1]),
                ("GET /api/core/plugins/apps", rules[1]),
                ("GET /api/core/plugins/moz.app.blog/manifest", rules[2]),
                ("GET /api/core/plugins/catalog/manifest", rules[2]),
                ("GET /api/core/plugins/apps/acme", rules[3]),
                ("GET /api/core/plugins/apps/manifest", rules[3]),
                ("POST /api/core/plugins/apps/acme/install", rules[4]),
                ("DELETE /api/core/plugins/apps/acme/moz.app.blog", rules[5]),
                ("DELETE /api/core/plugins/apps/acme/install", rules[5]),
                ("PATCH /api/core/plugins/apps/acme/moz.app.blog", rules[6]),
                ("HEAD /api/core/plugins/catalog", rules[0]),
                ("POST /api/core/plugins/catalog", "405 GET,GET"),
                ("GET /api/core/plugins/apps/acme/install", "405 POST,DELETE,PATCH"),
                ("GET /api/core/plugins/", "404"),
                ("GET /api/core/plugins/apps/acme/", "404"),
                ("GET /api/core/plugins/moz.app.blog/other", "404"),
            ],
        );
    }

    #[test]
    fn a_bound_verb_owns_its_url_and_an_unbound_one_is_data() {
        let rules = [
            "POST /x/{name=apps/*}:suspend",
            "GET /x/{name=apps/*}",
            "POST /x/auth:signIn",
            "GET /x/{path=files/**}",
            "GET /x/{path=files/**}:download",
        ];
        check(
            &rules,
            &[
                ("POST /x/apps/acme:suspend", rules[0]),
                ("GET /x/apps/acme:suspend", "405 POST"),
                ("GET /x/apps/acme:other", rules[1]),
                ("GET /x/apps/acme%3Asuspend", rules[1]),
                ("GET /x/apps/a:b:c", rules[1]),
                ("POST /x/auth:signIn", rules[2]),
                ("POST /x/auth:signOut", "404"),
                ("POST /x/auth", "404"),
                ("GET /x/files/a/b/c", rules[3]),
                ("GET /x/files/a/b:download", rules[4]),
                ("GET /x/files", rules[3]),
                ("GET /x/files/a//b", "404"),
                ("POST /x/apps/:suspend", "405 GET"),
            ],
        );
    }

    #[test]
    fn one_path_and_method_has_one_rule() {
        let mut trie = trie(&["GET /x/{a}", "GET /x/y"]);
        assert_eq!(trie.insert(&Template::parse("/x/{b}").unwrap(), &Method::GET, 2), Err(0));
        assert_eq!(trie.insert(&Template::parse("/x/y").unwrap(), &Method::GET, 2), Err(1));
        assert_eq!(trie.insert(&Template::parse("/x/y").unwrap(), &Method::PUT, 2), Ok(()));
        assert_eq!(trie.insert(&Template::parse("/x/y:go").unwrap(), &Method::GET, 3), Ok(()));
    }

    proptest! {
        #[test]
        fn any_path_is_looked_up_without_panic(path: String) {
            trie(&["GET /a/{b=c/*}/**", "POST /{a}:go", "GET /{a}/{b}"]).find(&path, &Method::GET);
        }
    }
}
