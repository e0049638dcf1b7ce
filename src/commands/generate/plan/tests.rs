//! Profiles, and the order that follows from them.

use pretty_assertions::assert_eq;
use vaultix_generator::profile::Side;

use super::*;

/// Returns the profile of `host` with secrets as pairs of an id and the ids that it is made from; `None` for
/// one without a generator.
fn profile(host: &str, secrets: &[(&str, Option<&[&str]>)]) -> Profile {
    let secret = |(id, from): &(&str, Option<&[&str]>)| {
        let generator = from.map_or(String::new(), |from| {
            format!(r#","generator":{{"kind":"command","command":["x"],"dependencies":{from:?}}}"#)
        });
        format!(r#""{id}":{{"file":"{id}.age"{generator}}}"#)
    };
    let secrets: Vec<String> = secrets.iter().map(secret).collect();
    let secrets = secrets.join(",");
    let settings = format!(r#"{{"hostIdentifier":"{host}","hostPubkey":"k","hostKeys":[]}}"#);
    let text = format!(r#"{{"version":1,"settings":{settings},"secrets":{{{secrets}}}}}"#);
    Profile::parse(&text, Side::Workspace).unwrap()
}

/// Plans, where the files of `present` are there.
fn planned(profiles: &[Profile], asked: &[&str], present: &[&str]) -> Result<Plan> {
    select(profiles, (asked, &[]), Existing::Kept, Files::Closed, present)
}

/// Plans for ids and hosts, where the files of `present` are there.
fn select(
    profiles: &[Profile],
    (ids, hosts): (&[&str], &[&str]),
    existing: Existing,
    files: Files,
    present: &[&str],
) -> Result<Plan> {
    let own = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect::<Vec<String>>();
    let (ids, hosts) = (own(ids), own(hosts));
    let presence = |place: &Place| {
        let is_there = present.iter().any(|name| place.path == Path::new(name));
        let what = place.key.as_ref().map(|key| format!("{}{}", place.path.display(), key.pointer));
        match what {
            _ if !is_there => Presence::Missing,
            Some(what) if present.contains(&&*format!("{what}?")) => Presence::Unknown,
            Some(what) if !present.contains(&&*what) => Presence::Missing,
            _ => Presence::There,
        }
    };
    plan(profiles, &Selection { ids: &ids, hosts: &hosts, existing }, files, &presence)
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.make.iter().map(|recipe| recipe.id.as_str()).collect()
}

fn failures(plan: &Plan) -> Vec<String> {
    plan.failures.iter().map(|error| format!("{error:#}")).collect()
}

#[test]
fn a_secret_comes_after_its_dependencies() {
    let web = profile(
        "web",
        &[("a", Some(&["c", "b"])), ("b", Some(&["c"])), ("c", Some(&[])), ("d", None)],
    );
    let all = planned(&[web], &[], &[]).unwrap();
    assert_eq!((ids(&all), all.there, failures(&all).len()), (vec!["c", "b", "a"], 0, 0));
    assert!(all.sources().is_empty());
}

#[test]
fn missing_secrets_are_made_and_only_their_dependencies_opened() {
    let secrets: &[(&str, Option<&[&str]>)] =
        &[("a", Some(&["b", "d"])), ("b", Some(&["c"])), ("c", Some(&[])), ("d", None)];
    let web = [profile("web", secrets)];
    let some = planned(&web, &["a"], &["b.age", "d.age"]).unwrap();
    assert_eq!((ids(&some), some.there), (vec!["a"], 0));
    assert_eq!(some.sources(), [Path::new("b.age"), Path::new("d.age")].into());
    let all = planned(&web, &[], &["a.age", "b.age", "c.age", "d.age"]).unwrap();
    assert_eq!((ids(&all).len(), all.there), (0, 3));
    let asked = planned(&web, &["b"], &[]).unwrap();
    assert_eq!(ids(&asked), ["c", "b"]);
}

#[test]
fn a_secret_fails_with_its_dependency() {
    let secrets: &[(&str, Option<&[&str]>)] = &[
        ("a", Some(&["b"])),
        ("b", Some(&["d"])),
        ("c", Some(&[])),
        ("d", None),
        ("e", Some(&["f"])),
    ];
    let plan = planned(&[profile("web", secrets)], &[], &[]).unwrap();
    assert_eq!(ids(&plan), ["c"]);
    assert_eq!(
        failures(&plan),
        [
            "cannot generate secret \"e\": it depends on \"f\", and host web has no such secret; to fix: \
             correct vaultix.secrets.e.generator.dependencies",
            "cannot generate secret \"b\": it is made from \"d\", and d.age does not exist; to fix: vaultix edit \
             d.age",
            "cannot generate secret \"a\": it is made from \"b\", which cannot be generated",
        ]
    );
}

/// Returns `profile`, in which dependencies with a slash are those of other hosts.
fn across(host: &str, secrets: &[(&str, Option<&[&str]>)]) -> Profile {
    let mut profile = profile(host, secrets);
    for secret in profile.secrets.values_mut().flatten() {
        secret.ciphertext = format!("{host}-{}", secret.ciphertext.display()).into();
        let Some(Generator::Command { dependencies, .. }) = &mut secret.generator else { continue };
        for one in dependencies {
            if let Some((host, id)) = one.id.split_once('/') {
                *one = Dependency { host: Some(host.to_owned()), id: id.to_owned() };
            }
        }
    }
    profile
}

#[test]
fn a_secret_may_be_made_from_those_of_other_hosts() {
    let web = || across("web", &[("a", Some(&["b", "db/b"])), ("b", Some(&[]))]);
    let db = across("db", &[("b", Some(&["c"])), ("c", Some(&[])), ("d", None)]);
    let both = planned(&[web(), db], &["a"], &["db-b.age"]).unwrap();
    assert_eq!((ids(&both), failures(&both).len()), (vec!["b", "a"], 0));
    assert_eq!(both.sources(), [Path::new("db-b.age")].into());
    let inputs = both.make.last().unwrap().inputs.iter();
    let inputs: Vec<_> = inputs.map(|input| (&*input.id, &*input.place.path)).collect();
    assert_eq!(inputs, [("b", Path::new("web-b.age")), ("db/b", Path::new("db-b.age"))]);

    let fix = "to fix: correct vaultix.secrets.a.generator.dependencies";
    assert_eq!(
        failures(&planned(&[web()], &[], &[]).unwrap()),
        [format!(
            "cannot generate secret \"a\": it depends on \"b\" of host db, of which nothing is known; {fix}"
        )]
    );
    let other = across("db", &[("d", None)]);
    assert_eq!(
        failures(&planned(&[web(), other], &[], &[]).unwrap()),
        [format!(
            "cannot generate secret \"a\": it depends on \"b\", and host db has no such secret; {fix}"
        )]
    );

    let circle = across("db", &[("b", Some(&["web/a"]))]);
    let error = planned(&[web(), circle], &[], &[]).unwrap_err();
    assert!(
        format!("{error:#}").contains("it is made from itself: \"b\" from \"a\" from \"b\""),
        "{error:#}"
    );
}

#[test]
fn what_is_made_from_a_renewed_secret_is_renewed() {
    let web = across("web", &[("a", Some(&["db/b"])), ("x", Some(&[])), ("y", None)]);
    let db =
        across("db", &[("b", Some(&["c"])), ("c", Some(&["d"])), ("d", None), ("z", Some(&["d"]))]);
    let both = [web, db];
    let all =
        ["web-a.age", "web-x.age", "web-y.age", "db-b.age", "db-c.age", "db-d.age", "db-z.age"];
    let renew = |ids: &[&str], hosts: &[&str], present: &[&str]| {
        select(&both, (ids, hosts), Existing::Renewed, Files::Closed, present).unwrap()
    };
    let some = renew(&["c"], &[], &all);
    assert_eq!((ids(&some), some.replaced.len(), some.there), (vec!["c", "b", "a"], 3, 0));
    assert_eq!(some.sources(), [Path::new("db-d.age")].into());
    // Of a host: also what other hosts make from it.
    assert_eq!(ids(&renew(&[], &["web"], &all)), ["a", "x"]);
    assert_eq!(ids(&renew(&[], &["db"], &all)), ["c", "b", "z", "a"]);
    // What is missing is no replacement, and what it is made from stays.
    let missing = renew(&["a"], &[], &["db-c.age", "db-d.age"]);
    assert_eq!((ids(&missing), missing.replaced.len()), (vec!["b", "a"], 0));
    let nothing =
        select(&both, (&[], &["web"]), Existing::Kept, Files::Closed, &["db-b.age"]).unwrap();
    assert_eq!((ids(&nothing), nothing.replaced.len()), (vec!["a", "x"], 0));
}

#[test]
fn a_renewed_value_needs_its_file_and_a_renewed_key_takes_its_public_key_along() {
    let (hex, age) = (r#"{"kind":"hex"}"#, r#"{"kind":"age"}"#);
    let web = [values(&[("a", Some("/a"), age), ("z", Some("/z"), hex)])];
    let there = ["mail.yaml.age", "mail.yaml.age/a", "mail.yaml.age/z", "mail.a.pub"];
    let renew = |files| select(&web, (&["a"], &[]), Existing::Renewed, files, &there).unwrap();
    let closed = renew(Files::Closed);
    assert_eq!((closed.unknown.len(), closed.replaced.len()), (1, 1));
    assert_eq!(closed.sources(), [Path::new("mail.yaml.age")].into());
    let opened = renew(Files::Opened);
    assert_eq!((ids(&opened), opened.unknown.len(), opened.replaced.len()), (vec!["a"], 0, 1));
    assert_eq!(failures(&opened).len(), 0);
}

#[test]
fn a_circle_is_named() {
    let secrets: &[(&str, Option<&[&str]>)] =
        &[("a", Some(&["b"])), ("b", Some(&["c"])), ("c", Some(&["b"]))];
    let error = planned(&[profile("web", secrets)], &[], &["b.age"]).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "cannot generate secret \"b\": it is made from itself: \"b\" from \"c\" from \"b\"; to fix: \
         remove one of them from the other's generator.dependencies"
    );
}

#[test]
fn hosts_share_a_file_if_they_agree_on_it() {
    let one = || profile("one", &[("a", Some(&[])), ("b", None)]);
    let plan = planned(&[one(), profile("two", &[("a", Some(&[]))])], &[], &[]).unwrap();
    assert_eq!(ids(&plan), ["a"]);
    let other = profile("two", &[("a", Some(&["b"])), ("b", None)]);
    let plan = planned(&[one(), other], &[], &["b.age"]).unwrap();
    assert_eq!(ids(&plan), [""; 0]);
    assert_eq!(
        failures(&plan),
        ["cannot generate secret \"a\": a.age has two different generators; to fix: set the same \
          vaultix.secrets.a.generator on all hosts"]
    );
}

#[test]
fn halves_belong_together() {
    let text = r#"{"version":1,"settings":{"hostIdentifier":"web","hostPubkey":"k","hostKeys":[]},
        "secrets":{"wg":{"file":"wg.age","generator":{"kind":"wireguard"}}}}"#;
    let web = [Profile::parse(text, Side::Workspace).unwrap()];
    let both = planned(&web, &[], &["wg.age", "wg.pub"]).unwrap();
    assert_eq!((both.make.len(), both.publish.len(), both.there), (0, 0, 1));
    let neither = planned(&web, &[], &[]).unwrap();
    assert_eq!((ids(&neither), failures(&neither).len()), (vec!["wg"], 0));
    let private = planned(&web, &[], &["wg.age"]).unwrap();
    assert_eq!((private.make.len(), private.publish.len(), private.there), (0, 1, 0));
    assert_eq!(private.sources(), [Path::new("wg.age")].into());
    let public = planned(&web, &[], &["wg.pub"]).unwrap();
    assert_eq!(public.make, []);
    assert_eq!(
        failures(&public),
        [
            "cannot generate secret \"wg\": wg.pub is the public key of another secret; to fix: rm wg.pub"
        ]
    );
}

/// Returns a profile whose secrets are values, by their ids, keys in `mail.yaml.age`, and generators.
fn values(secrets: &[(&str, Option<&str>, &str)]) -> Profile {
    let secret = |(id, key, generator): &(&str, Option<&str>, &str)| {
        let key = key.map_or(String::new(), |key| format!(r#","key":"{key}""#));
        format!(r#""{id}":{{"file":"mail.yaml.age"{key},"generator":{generator}}}"#)
    };
    let secrets: Vec<String> = secrets.iter().map(secret).collect();
    let secrets = secrets.join(",");
    let settings = r#"{"hostIdentifier":"web","hostPubkey":"k","hostKeys":[]}"#;
    let text = format!(r#"{{"version":1,"settings":{settings},"secrets":{{{secrets}}}}}"#);
    Profile::parse(&text, Side::Workspace).unwrap()
}

#[test]
fn values_of_a_file_are_made_one_by_one() {
    let hex = r#"{"kind":"hex"}"#;
    let from = r#"{"kind":"command","command":["x"],"dependencies":["z"]}"#;
    let web = [values(&[("a", Some("/a"), from), ("b", Some("/b"), hex), ("z", Some("/z"), hex)])];
    let new = planned(&web, &[], &[]).unwrap();
    assert_eq!((ids(&new), failures(&new).len()), (vec!["z", "a", "b"], 0));
    assert!(new.sources().is_empty() && new.unknown.is_empty());
    let there = planned(&web, &[], &["mail.yaml.age", "mail.yaml.age/z"]).unwrap();
    assert_eq!((ids(&there), there.there), (vec!["a", "b"], 1));
    let unknown = planned(&web, &["b"], &["mail.yaml.age", "mail.yaml.age/b?"]).unwrap();
    assert_eq!((ids(&unknown), unknown.unknown.len()), (vec!["b"], 1));
    assert_eq!(unknown.sources(), [Path::new("mail.yaml.age")].into());
}

#[test]
fn a_value_has_one_generator() {
    let (hex, age) = (r#"{"kind":"hex"}"#, r#"{"kind":"age"}"#);
    for (secrets, reason) in [
        (
            [("all", None, hex), ("b", Some("/b"), hex)],
            "\"b\": mail.yaml.age is also generated for \"all\"",
        ),
        (
            [("x", Some("/b/c"), hex), ("y", Some("/b"), hex)],
            "\"x\": /b in mail.yaml.age is also generated for \"y\"",
        ),
        (
            [("x", Some("/b/c"), age), ("y", Some("/b.c"), age)],
            "\"x\": mail.b.c.pub is also generated for \"y\"",
        ),
    ] {
        let plan = planned(&[values(&secrets)], &[], &[]).unwrap();
        assert_eq!(plan.make.len(), 1);
        let [failure] = failures(&plan).try_into().unwrap();
        assert!(
            failure.starts_with(&format!("cannot generate secret {reason}; to fix: ")),
            "{failure}"
        );
    }
    let other = [values(&[("x", Some("/b-c"), hex), ("y", Some("/b"), hex)])];
    assert_eq!(planned(&other, &[], &[]).unwrap().failures.len(), 0);
}
