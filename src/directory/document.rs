//! The directory document: the one set of keys that every sender uses, signed by m of n authorities.

use super::contents::{Authority, Contents, MAX_AUTHORITIES, least_threshold};
use super::descriptor::{Descriptor, Signed};
use super::identity::{IdentityKey, Signature};
use super::lines::{Lines, Malformed, Wrong, base64, parse_base64, parse_hex};
use super::params::Params;
use super::rejected::Rejected;
use super::uptime::{Uptime, medians};
use crate::id::{Epoch, NodeId};
use crate::time::Time;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Epochs a document is good for, its own included.
pub const VALID_EPOCHS: u64 = 3;
/// Longest text of a document: about 2,000 nodes.
pub const MAX_DOCUMENT: usize = 32 << 20;

/// Whose signatures we believe, and how many of them we want.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    threshold: usize,
    fingerprints: BTreeSet<NodeId>,
}

impl Trust {
    /// Trust in `threshold` of the authorities with these fingerprints.
    ///
    /// # Errors
    /// The least threshold, if `threshold` is below it or above the number of authorities.
    pub fn new(threshold: usize, fingerprints: BTreeSet<NodeId>) -> Result<Self, usize> {
        let least = least_threshold(fingerprints.len());
        let fits = (least..=fingerprints.len()).contains(&threshold);
        if fits { Ok(Self { threshold, fingerprints }) } else { Err(least) }
    }

    /// How many of them a document needs.
    #[must_use]
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// Whom we trust.
    pub fn fingerprints(&self) -> impl Iterator<Item = &NodeId> {
        self.fingerprints.iter()
    }
}

/// A well-formed document, signed or not, of which nobody has yet asked who signed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    contents: Contents,
    signatures: BTreeMap<NodeId, Signature>,
    /// What is signed and hashed.
    body: String,
}

impl Candidate {
    /// A document that says `contents`, unsigned.
    ///
    /// # Errors
    /// Where `contents` breaks a rule of the grammar.
    pub fn new(contents: &Contents) -> Result<Self, Rejected> {
        Self::parse(&contents.to_text())
    }

    /// Reads a document. Every signature in it has to be of an authority in it, and to hold.
    ///
    /// # Errors
    /// Where and how the text breaks the grammar, or what in it is bad. Only the canonical text is taken.
    pub fn parse(text: &str) -> Result<Self, Rejected> {
        let mut lines = Lines::new(text, MAX_DOCUMENT)?;
        let contents = Contents::read(&mut lines, text)?;
        let body = text.get(..lines.offset()).unwrap_or_default().to_owned();
        let signatures = read_signatures(&mut lines, &contents.authorities, &body)?;
        if lines.is_at_end() {
            Ok(Self { contents, signatures, body })
        } else {
            Err(lines.expected("a signature line, or the end").into())
        }
    }

    /// What it says.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// SHA-256 of what is signed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.body.as_bytes()).into()
    }

    /// Adds the signature of `key`. False if it is none of the authorities', and nothing is changed.
    pub fn sign(&mut self, key: &IdentityKey) -> bool {
        let id = key.node_id();
        let known = self.contents.authorities.contains_key(&id);
        if known {
            self.signatures.insert(id, key.sign(self.body.as_bytes()));
        }
        known
    }

    /// Adds the signature that `authority` gave. False if it is none of the document's authorities, or didn't sign this.
    pub(super) fn add_signature(&mut self, authority: NodeId, signature: Signature) -> bool {
        let known = self.contents.authorities.get(&authority);
        let holds = known.is_some_and(|known| known.identity.verifies(self.body.as_bytes(), &signature));
        if holds {
            self.signatures.insert(authority, signature);
        }
        holds
    }

    /// The signatures, by their authorities.
    pub(super) const fn signatures(&self) -> &BTreeMap<NodeId, Signature> {
        &self.signatures
    }

    /// The authorities that have signed.
    pub fn signers(&self) -> impl Iterator<Item = NodeId> {
        self.signatures.keys().copied()
    }

    /// The text `parse` reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.body.clone();
        write_signatures(&mut text, &self.signatures);
        text
    }

    fn check_signers(&self, trust: &Trust) -> Result<(), Rejected> {
        let (trusted, unknown): (Vec<NodeId>, Vec<NodeId>) =
            self.signers().partition(|id| trust.fingerprints.contains(id));
        let (have, want) = (trusted.len(), trust.threshold.max(self.contents.threshold));
        match unknown.first() {
            _ if have >= want => Ok(()),
            Some(id) => Err(Rejected::UnknownAuthority(*id)),
            None => Err(Rejected::TooFewSignatures { have, want }),
        }
    }
}

/// A document that enough authorities we trust have signed, and whose epoch has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    candidate: Candidate,
    hash: [u8; 32],
    links: BTreeMap<[u8; 32], NodeId>,
    uptimes: BTreeMap<NodeId, Uptime>,
}

impl Document {
    /// Takes a document that somebody gave us. `have` is the one we go by.
    ///
    /// # Errors
    /// Why it is not taken; the order is: what it is, who signed it, when it holds, what we have.
    pub fn verify(text: &str, trust: &Trust, now: Time, have: Option<&Self>) -> Result<Self, Rejected> {
        let document = Self::reopen(text, trust, now)?;
        document.may_follow(have, now)?;
        Ok(document)
    }

    /// Whether this document, which was reopened, may take the place of the one we `have`.
    ///
    /// # Errors
    /// `OtherEpochs`, `Expired`, `Rollback` or `Fork`.
    pub fn may_follow(&self, have: Option<&Self>, now: Time) -> Result<(), Rejected> {
        if let Some(have) = have {
            self.contents().keeps_epochs_of(have.contents())?;
        }
        let (theirs, running) = (self.epoch(), now.epoch(self.params().epoch));
        if now >= self.valid_until() {
            return Err(Rejected::Expired { theirs, running });
        }
        let Some(have) = have else { return Ok(()) };
        let ours = have.epoch();
        if theirs < ours {
            return Err(Rejected::Rollback { ours, theirs });
        }
        if theirs == ours && self.hash != have.hash {
            return Err(Rejected::Fork(ours));
        }
        Ok(())
    }

    /// Takes the document that this node kept itself. It may have expired: with such a one nothing is sent, but what is
    /// on its way is still mixed.
    ///
    /// # Errors
    /// As `verify`, but never `OtherEpochs`, `Expired`, `Rollback` or `Fork`.
    pub fn reopen(text: &str, trust: &Trust, now: Time) -> Result<Self, Rejected> {
        let candidate = Candidate::parse(text)?;
        candidate.check_signers(trust)?;
        let contents = candidate.contents();
        let (theirs, running) = (contents.epoch, now.epoch(contents.params.epoch));
        if theirs > running {
            return Err(Rejected::FromTheFuture { theirs, running });
        }
        let links = contents.nodes.iter().map(|(id, signed)| (signed.descriptor().link_key, *id)).collect();
        let uptimes = medians(&contents.nodes);
        Ok(Self { hash: candidate.hash(), candidate, links, uptimes })
    }

    /// What it says.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.candidate.contents
    }

    /// The epoch from whose start it holds.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.contents().epoch
    }

    /// When it stops being good to send by.
    #[must_use]
    pub fn valid_until(&self) -> Time {
        Time::epoch_start(self.epoch().plus(VALID_EPOCHS), self.params().epoch)
    }

    /// The network's parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.contents().params
    }

    /// SHA-256 of what was signed.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// What the node `id` says of itself.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&Descriptor> {
        self.contents().nodes.get(id).map(Signed::descriptor)
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, &Descriptor)> {
        self.contents().nodes.iter().map(|(id, signed)| (id, signed.descriptor()))
    }

    /// The node that has this link key.
    #[must_use]
    pub fn by_link_key(&self, key: &[u8; 32]) -> Option<&NodeId> {
        self.links.get(key)
    }

    /// The median of what others measured of this node; none where too few have measured.
    #[must_use]
    pub fn uptime(&self, id: &NodeId) -> Option<Uptime> {
        self.uptimes.get(id).copied()
    }

    /// Whether paths may be drawn through this node: all senders go by the same, whatever they have measured themselves.
    /// One of which nothing is known yet may have its chance.
    #[must_use]
    pub fn is_reliable(&self, id: &NodeId) -> bool {
        self.uptime(id).is_none_or(|uptime| uptime.percent() >= self.params().min_uptime)
    }

    /// The authorities that have signed, trusted or not.
    pub fn signers(&self) -> impl Iterator<Item = NodeId> {
        self.candidate.signers()
    }

    /// The text it was read from.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.candidate.to_text()
    }
}

/// One line for each.
pub(super) fn write_signatures(text: &mut String, signatures: &BTreeMap<NodeId, Signature>) {
    for (id, signature) in signatures {
        writeln!(text, "signature {id} {}", base64(&signature.0)).expect("a String takes all");
    }
}

/// Reads what `write_signatures` wrote; each has to be of one of `authorities`, and to hold for `signed`.
pub(super) fn read_signatures(
    lines: &mut Lines<'_>,
    authorities: &BTreeMap<NodeId, Authority>,
    signed: &str,
) -> Result<BTreeMap<NodeId, Signature>, Rejected> {
    let signatures = read_unchecked_signatures(lines)?;
    for (id, signature) in &signatures {
        let authority = authorities.get(id).ok_or(Rejected::UnknownAuthority(*id))?;
        if !authority.identity.verifies(signed.as_bytes(), signature) {
            return Err(Rejected::BadSignature(*id));
        }
    }
    Ok(signatures)
}

/// Reads what `write_signatures` wrote.
pub(super) fn read_unchecked_signatures(lines: &mut Lines<'_>) -> Result<BTreeMap<NodeId, Signature>, Malformed> {
    let mut signatures = BTreeMap::new();
    while let Some(line) = lines.after("signature ") {
        let (id, signature) = parse_signature(line).ok_or(lines.wrong(Wrong::Value("signature")))?;
        let ascending = signatures.last_key_value().is_none_or(|(last, _)| *last < id);
        if !ascending || signatures.len() == MAX_AUTHORITIES {
            return Err(lines.wrong(Wrong::Order));
        }
        signatures.insert(id, signature);
    }
    Ok(signatures)
}

fn parse_signature(line: &str) -> Option<(NodeId, Signature)> {
    let (id, signature) = line.split_once(' ')?;
    Some((NodeId(parse_hex(id)?), Signature(parse_base64(signature)?)))
}

#[cfg(test)]
mod tests {
    use super::super::contents::{FORMAT, Shared};
    use super::super::fixture::{EPOCH, at, contents, descriptor, document, key, signed, signed_text, trust};
    use super::super::lines::base64;
    use super::super::{BadParams, NodeAddress, Strategy};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const ONION: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

    fn nodes(numbers: impl IntoIterator<Item = u8>) -> impl Iterator<Item = (u8, Descriptor)> {
        numbers.into_iter().map(|n| (n, descriptor(n)))
    }

    fn three() -> Contents {
        contents(1, 1, nodes(1..=3))
    }

    /// The reason for which `text` is not taken by who trusts authority 101.
    fn rejected(text: &str) -> Rejected {
        Document::verify(text, &trust(1, 1), at(1), None).unwrap_err()
    }

    /// The text of `three` with `find` replaced, signed: only the grammar can refuse it.
    fn edited(find: &str, replace: &str) -> String {
        let body = three().to_text();
        let changed = body.replacen(find, replace, 1);
        assert_ne!(changed, body, "{find} is not in the text");
        signed_body(&changed)
    }

    fn signed_body(body: &str) -> String {
        let signature = base64(&key(101).sign(body.as_bytes()).0);
        format!("{body}signature {} {signature}\n", key(101).node_id())
    }

    /// The text of a document of these blocks, in this order, signed.
    fn of_blocks(blocks: &[Signed]) -> String {
        let empty = contents(1, 1, []).to_text();
        let blocks: String = blocks.iter().map(|node| format!("\n{}", node.to_text())).collect();
        signed_body(&format!("{empty}{blocks}"))
    }

    #[test]
    fn a_document_signed_by_enough_is_taken_and_tells_about_its_nodes() {
        let document = document(nodes(1..=3));
        assert_eq!((document.epoch(), document.valid_until()), (EPOCH, at(72)));
        assert_eq!(document.nodes().count(), 3);
        let id = key(2).node_id();
        assert_eq!(document.node(&id), Some(&descriptor(2)));
        assert_eq!(document.by_link_key(&[2; 32]), Some(&id));
        assert_eq!(document.by_link_key(&[9; 32]), None);
        assert_eq!(document.signers().collect::<Vec<_>>(), [key(101).node_id()]);
    }

    #[test]
    fn signatures_and_hash_cover_the_bytes_before_the_first_signature_line() {
        let text = signed_text(&contents(4, 3, nodes(1..=2)), [101, 102, 103]);
        let body = &text[..text.find("\nsignature ").unwrap() + 1];
        let document = Document::verify(&text, &trust(4, 3), at(1), None).unwrap();
        assert_eq!(document.hash()[..], Sha256::digest(body)[..]);
        assert_eq!(document.to_text(), text);
        let three_more = signed_text(&contents(4, 3, nodes(1..=2)), [102, 103, 104]);
        assert_eq!(Document::verify(&three_more, &trust(4, 3), at(1), None).unwrap().hash(), document.hash());
    }

    #[test]
    fn equal_contents_give_equal_bytes() {
        let forwards = signed_text(&contents(4, 3, nodes(1..=5)), [101, 102, 103]);
        let backwards = signed_text(&contents(4, 3, nodes((1..=5).rev())), [103, 102, 101]);
        assert_eq!(forwards, backwards);
    }

    #[test]
    fn any_toml_reader_can_read_what_is_signed() {
        let body = contents(1, 1, nodes(1..=2)).to_text();
        let toml: toml::Table = body.parse().unwrap();
        assert_eq!(toml["node"].as_array().unwrap().len(), 2);
        assert_eq!(toml["params"]["mean-delay"].as_str(), Some("3h"));
        assert!(!body.contains("demo"), "only a demo's document has the word");
    }

    #[test]
    fn changed_parameters_are_read_back() {
        let mut contents = three();
        contents.previous = Some([7; 32]);
        contents.params.demo = true;
        contents.params.only_onions = true;
        contents.nodes.clear();
        contents.params.tick = Duration::from_millis(250);
        contents.params.strategy = Strategy::Poisson;
        let document = Document::verify(&signed_text(&contents, [101]), &trust(1, 1), at(1), None).unwrap();
        assert_eq!(document.contents(), &contents);
    }

    #[test]
    fn a_node_that_is_no_onion_is_in_no_document_of_onions() {
        let onion = NodeAddress::parse(&format!("{ONION}:9999")).unwrap();
        let mut contents = contents(1, 1, [(1, Descriptor { address: onion, ..descriptor(1) })]);
        contents.params.only_onions = true;
        assert!(Candidate::new(&contents).is_ok());
        assert!(contents.has_room_for(contents.nodes[&key(1).node_id()].descriptor()));
        assert!(!contents.has_room_for(&descriptor(2)));
        contents.nodes.insert(key(2).node_id(), signed(descriptor(2), 2));
        assert_eq!(Candidate::new(&contents).err(), Some(Rejected::NoOnion(key(2).node_id())));
        contents.params.only_onions = false;
        assert!(Candidate::new(&contents).is_ok());
    }

    #[test]
    fn too_few_signatures_are_rejected_by_our_threshold_and_by_the_documents() {
        let contents = contents(4, 3, nodes(1..=2));
        let verify = |signers: &[u8], trust| {
            Document::verify(&signed_text(&contents, signers.iter().copied()), &trust, at(1), None).map(|_| ())
        };
        let few = |have, want| Err(Rejected::TooFewSignatures { have, want });
        assert_eq!(verify(&[], trust(4, 3)), few(0, 3));
        assert_eq!(verify(&[101, 102], trust(4, 3)), few(2, 3));
        assert_eq!(verify(&[101, 102, 103], trust(4, 3)), Ok(()));
        assert_eq!(verify(&[101, 102, 103], trust(4, 4)), few(3, 4));
        assert_eq!(verify(&[101, 102], trust(2, 2)), few(2, 3));
    }

    #[test]
    fn a_signature_counts_only_if_its_authority_is_listed_and_trusted() {
        let contents = contents(4, 3, nodes(1..=2));
        let text = signed_text(&contents, [101, 102, 104]);
        let unknown = |n| Err(Rejected::UnknownAuthority(key(n).node_id()));
        let verify = |text: &str, trust| Document::verify(text, &trust, at(1), None).map(|_| ());
        assert_eq!(verify(&text, trust(3, 3)), unknown(104), "its signature is needed, and we don't trust it");
        let all = signed_text(&contents, 101..=104);
        assert_eq!(verify(&all, trust(3, 3)), Ok(()), "its signature is not needed");
        let stranger = base64(&key(9).sign(three().to_text().as_bytes()).0);
        let text = format!("{}signature {} {stranger}\n", three().to_text(), key(9).node_id());
        assert_eq!(verify(&text, trust(1, 1)), unknown(9));
    }

    #[test]
    fn a_signature_of_something_else_is_rejected() {
        let other = base64(&key(101).sign(b"something else").0);
        let text = format!("{}signature {} {other}\n", three().to_text(), key(101).node_id());
        assert_eq!(rejected(&text), Rejected::BadSignature(key(101).node_id()));
    }

    #[test]
    fn signature_lines_are_in_order_and_there_once() {
        let text = signed_text(&contents(4, 3, nodes(1..=2)), [101, 102, 103]);
        let mut lines: Vec<_> = text.lines().collect();
        let last = lines.len() - 1;
        lines.swap(last, last - 1);
        let line = last + 1;
        let want = Err(Rejected::Malformed(Malformed { line, why: Wrong::Order }));
        assert_eq!(Document::verify(&(lines.join("\n") + "\n"), &trust(4, 3), at(1), None), want);
        lines[last] = lines[last - 1];
        assert_eq!(Document::verify(&(lines.join("\n") + "\n"), &trust(4, 3), at(1), None), want);
    }

    #[test]
    fn a_document_holds_from_its_epochs_start_for_three_epochs() {
        let text = signed_text(&three(), [101]);
        let trust = trust(1, 1);
        let verify = |now| Document::verify(&text, &trust, now, None).map(|_| ());
        let moment = Duration::from_millis(1);
        let (theirs, running) = (EPOCH, EPOCH.minus(1));
        assert_eq!(verify(at(0).minus(moment)), Err(Rejected::FromTheFuture { theirs, running }));
        assert_eq!(verify(at(0)), Ok(()));
        assert_eq!(verify(at(72).minus(moment)), Ok(()));
        assert_eq!(verify(at(72)), Err(Rejected::Expired { theirs, running: EPOCH.plus(3) }));
        assert!(Document::reopen(&text, &trust, at(1000)).is_ok(), "what is on its way is still mixed");
    }

    #[test]
    fn an_older_document_and_another_one_of_its_epoch_are_rejected() {
        let trust = trust(1, 1);
        let of = |epoch, n| {
            let mut contents = contents(1, 1, nodes(1..=n));
            contents.epoch = epoch;
            signed_text(&contents, [101])
        };
        let have = Document::verify(&of(EPOCH.plus(1), 3), &trust, at(30), None).unwrap();
        let verify = |text: &str| Document::verify(text, &trust, at(50), Some(&have)).map(|_| ());
        assert_eq!(verify(&of(EPOCH, 3)), Err(Rejected::Rollback { ours: EPOCH.plus(1), theirs: EPOCH }));
        assert_eq!(verify(&of(EPOCH.plus(1), 2)), Err(Rejected::Fork(EPOCH.plus(1))));
        assert_eq!(verify(&of(EPOCH.plus(1), 3)), Ok(()), "the same once more");
        assert_eq!(verify(&of(EPOCH.plus(2), 2)), Ok(()));
    }

    #[test]
    fn a_document_that_counts_epochs_anew_does_not_follow_whatever_its_number() {
        let trust = trust(1, 1);
        let have = Document::verify(&signed_text(&three(), [101]), &trust, at(1), None).unwrap();
        let ours = have.params().epoch;
        for theirs in [ours / 2, ours * 2] {
            let mut contents = three();
            contents.params.epoch = theirs;
            contents.epoch = at(1).epoch(theirs);
            let text = signed_text(&contents, [101]);
            assert!(Document::verify(&text, &trust, at(1), None).is_ok(), "it is a network's");
            let found = Document::verify(&text, &trust, at(1), Some(&have)).unwrap_err();
            assert_eq!(found, Rejected::OtherEpochs { ours, theirs });
            assert!(found.to_string().contains("ours 1d: epochs and mix keys would be counted anew"), "{found}");
            // Whoever was away for long is not told that it has expired: it would not be taken either way.
            let late = Document::verify(&text, &trust, at(1000), Some(&have)).unwrap_err();
            assert_eq!(late, Rejected::OtherEpochs { ours, theirs });
        }
    }

    #[test]
    fn two_nodes_may_not_share_identity_address_name_or_link_key() {
        let (one, mut two) = (descriptor(1), descriptor(2));
        let pair = |other: &Descriptor| {
            let mut both = [(1, one.clone()), (2, other.clone())].map(|(n, node)| signed(node, n));
            both.sort_by_key(|node| node.descriptor().id());
            rejected(&of_blocks(&both))
        };
        two.address = one.address.clone();
        assert_eq!(pair(&two), Rejected::TwoNodes(Shared::Address));
        two = Descriptor { name: one.name.clone(), ..descriptor(2) };
        assert_eq!(pair(&two), Rejected::TwoNodes(Shared::Name));
        two = Descriptor { link_key: one.link_key, ..descriptor(2) };
        assert_eq!(pair(&two), Rejected::TwoNodes(Shared::LinkKey));
        let again = Descriptor { sequence: 2, name: "other".into(), ..descriptor(1) };
        let twice = [signed(one.clone(), 1), signed(again, 1)];
        assert_eq!(rejected(&of_blocks(&twice)), Rejected::TwoNodes(Shared::Identity));
    }

    #[test]
    fn who_is_to_be_added_clashes_with_others_but_not_with_itself() {
        let contents = three();
        assert_eq!(contents.clash(&Descriptor { sequence: 2, ..descriptor(1) }), None);
        assert_eq!(contents.clash(&descriptor(4)), None);
        assert_eq!(contents.clash(&Descriptor { name: "node-1".into(), ..descriptor(4) }), Some(Shared::Name));
    }

    #[test]
    fn nodes_out_of_order_are_rejected() {
        let mut pair = [1, 2].map(|n| signed(descriptor(n), n));
        pair.sort_by_key(|node| std::cmp::Reverse(node.descriptor().id()));
        assert!(matches!(rejected(&of_blocks(&pair)), Rejected::Malformed(Malformed { why: Wrong::Order, .. })));
    }

    #[test]
    fn a_bad_mix_key_has_words_of_its_own() {
        let good = format!("mix-keys.{EPOCH} = \"");
        assert!(matches!(rejected(&edited(&good, &format!("{good}AAAA"))), Rejected::BadMixKey(line) if line > 20));
    }

    #[test]
    fn a_document_written_in_another_way_is_rejected() {
        use Wrong::{Expected, Value};
        for (find, replace, line, why) in [
            ("format", "# a comment\nformat", 1, Expected(FORMAT)),
            ("epoch = 20000", "epoch = 020000", 2, Value("epoch")),
            ("threshold = 1", "threshold = 2", 21, Wrong::Threshold),
            ("threshold = 1", "threshold = 0", 21, Wrong::Threshold),
            ("\n[params]", "[params]", 4, Expected("")),
            ("\"3h\"", "\"180m\"", 8, Value("mean-delay")),
            ("strategy = \"exponential\"", "strategy = \"Exponential\"", 6, Value("strategy")),
            ("hops = 3", "hops = 9", 17, Wrong::Params(BadParams::Hops)),
            ("epoch = \"1d\"", "epoch = \"30s\"", 17, Wrong::Params(BadParams::Epoch)),
            ("min-uptime = 90\n", "min-uptime = 90\ndemo = false\n", 18, Value("demo")),
            ("\n[[authority]]", "\n[authority]", 18, Expected("[[authority]]")),
            ("\n\n[[node]]", "\n\n\n[[node]]", 22, Expected("a signature line, or the end")),
        ] {
            assert_eq!(rejected(&edited(find, replace)), Rejected::Malformed(Malformed { line, why }), "{replace}");
        }
        let crlf = signed_text(&three(), [101]).replace('\n', "\r\n");
        assert!(matches!(rejected(&crlf), Rejected::Malformed(_)));
        assert_eq!(rejected(""), Rejected::Malformed(Malformed { line: 1, why: Expected(FORMAT) }));
    }

    #[test]
    fn a_threshold_that_liars_could_get_round_is_refused() {
        let least: Vec<_> = (1..=10).map(least_threshold).collect();
        assert_eq!(least, [1, 2, 2, 3, 4, 4, 5, 6, 6, 7]);
        for (authorities, threshold, want) in
            [(1, 1, Ok(())), (3, 1, Err(2)), (4, 2, Err(3)), (4, 5, Err(3)), (0, 0, Err(1))]
        {
            let fingerprints = (0..authorities).map(|n| key(n).node_id()).collect();
            assert_eq!(Trust::new(threshold, fingerprints).map(|_| ()), want, "{threshold} of {authorities}");
        }
        assert!(matches!(
            Candidate::new(&contents(4, 2, [])),
            Err(Rejected::Malformed(Malformed { why: Wrong::Threshold, .. }))
        ));
    }

    #[test]
    fn only_an_authority_of_the_document_can_sign_it() {
        let mut candidate = Candidate::new(&three()).unwrap();
        assert!(!candidate.sign(&key(1)));
        assert_eq!(candidate.signers().count(), 0);
        assert!(candidate.sign(&key(101)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_changed_byte_never_verifies(at_byte: proptest::sample::Index, xor in 1_u8..128) {
            let mut bytes = signed_text(&contents(1, 1, nodes(1..=1)), [101]).into_bytes();
            let index = at_byte.index(bytes.len());
            bytes[index] ^= xor;
            let text = String::from_utf8(bytes).unwrap();
            prop_assert!(Document::verify(&text, &trust(1, 1), at(1), None).is_err());
        }

        #[test]
        fn lines_left_out_doubled_or_swapped_never_verify(one: proptest::sample::Index, two: proptest::sample::Index) {
            let text = signed_text(&contents(1, 1, nodes(1..=2)), [101]);
            let lines: Vec<_> = text.split_inclusive('\n').collect();
            let (one, two) = (one.index(lines.len()), two.index(lines.len()));
            let mut without = lines.clone();
            without.remove(one);
            let mut doubled = lines.clone();
            doubled.insert(two, lines[one]);
            let mut swapped = lines.clone();
            swapped.swap(one, two);
            for changed in [without, doubled, swapped] {
                let changed = changed.concat();
                prop_assert!(changed == text || Document::verify(&changed, &trust(1, 1), at(1), None).is_err());
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*", cut: proptest::sample::Index) {
            let good = signed_text(&contents(1, 1, nodes(1..=1)), [101]);
            let _ = Candidate::parse(&text);
            let _ = Candidate::parse(&format!("{}{text}\n{}", &good[..cut.index(good.len())], &good[cut.index(good.len())..]));
        }
    }
}
