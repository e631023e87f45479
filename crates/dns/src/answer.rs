//! One question, one answer, on the wire.

use crate::zone::{Found, Zone};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

/// The largest answer over UDP to who does not say what it can take (RFC 1035 section 4.2.1), in bytes.
const UDP_BYTES: usize = 512;
/// The largest over UDP to anyone: what crosses every link unfragmented (DNS flag day 2020), in bytes.
const UDP_BYTES_MAX: usize = 1_232;
/// What a message has at least: its header, in bytes.
const HEADER_BYTES: usize = 12;
/// How many aliases are followed: longer chains are somebody's mistake, or a circle.
const ALIASES_MAX: usize = 8;
const SERVFAIL: u8 = 2;
const FORMERR: u8 = 1;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Udp,
    Tcp,
}

/// What is to be done about a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Send these bytes back.
    Reply(Vec<u8>),
    /// Ask somebody else.
    Forward(Query),
    /// Ask somebody else for what an alias stands for, and add that.
    Complete(Box<Alias>),
    /// It is no question, or cannot be answered.
    Drop,
}

/// An answer that lacks the records of a name which is not the cluster's.
#[derive(Debug)]
pub(crate) struct Alias {
    question: Message,
    response: Message,
    /// What is to be asked.
    pub(crate) query: Query,
}

impl Alias {
    /// The question to ask.
    pub(crate) fn question(&self) -> Option<Vec<u8>> {
        let mut message = Message::query();
        message.metadata.id = self.question.metadata.id;
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        message.to_vec().ok()
    }

    /// The whole answer. Without records there is still the alias, as CoreDNS answers.
    pub(crate) fn complete(mut self, found: &[u8], by: By) -> Option<Vec<u8>> {
        let found = Message::from_vec(found).map(|message| message.answers).unwrap_or_default();
        self.response.answers.extend(found);
        pack(&self.question, self.response, by)
    }
}

/// Answers from the zone, or says who is to.
pub(crate) fn answer(zone: &Zone, question: &[u8], by: By) -> Outcome {
    if question.len() < HEADER_BYTES {
        return Outcome::Drop;
    }
    // Whatever is a response already must not be responded to.
    if question[2] & 0x80 != 0 {
        return Outcome::Drop;
    }
    let Ok(message) = Message::from_vec(question) else {
        return Outcome::Reply(failure(question, FORMERR));
    };
    if message.metadata.op_code != OpCode::Query {
        return reply(&message, ResponseCode::NotImp, by, |_| {});
    }
    let [query] = message.queries.as_slice() else {
        return reply(&message, ResponseCode::FormErr, by, |_| {});
    };
    if message.version() > 0 {
        return reply(&message, ResponseCode::BADVERS, by, |_| {});
    }
    if query.query_class() != DNSClass::IN {
        return reply(&message, ResponseCode::Refused, by, |_| {});
    }
    if matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR) {
        return reply(&message, ResponseCode::NotImp, by, |_| {});
    }
    let absent = |response: &mut Message| {
        response.metadata.authoritative = true;
        response.authorities.extend(zone.authority());
    };
    match zone.find(query.name(), query.query_type()) {
        Found::NotOurs => Outcome::Forward(query.clone()),
        Found::NoData => reply(&message, ResponseCode::NoError, by, absent),
        Found::NoName => reply(&message, ResponseCode::NXDomain, by, absent),
        Found::Records { answers, additionals } => {
            let mut response = respond(&message, ResponseCode::NoError);
            response.metadata.authoritative = true;
            response.answers = answers;
            response.additionals = additionals;
            match follow(zone, query.query_type(), &mut response.answers) {
                Some(query) => Outcome::Complete(Box::new(Alias { question: message, response, query })),
                None => pack(&message, response, by).map_or(Outcome::Drop, Outcome::Reply),
            }
        }
    }
}

/// Adds to an alias the records of what it stands for; gives back what is to be asked elsewhere. The resolvers of C
/// libraries do not follow aliases by themselves (stub resolvers of RFC 1034 section 5.3.1).
fn follow(zone: &Zone, kind: RecordType, answers: &mut Vec<Record>) -> Option<Query> {
    if !matches!(kind, RecordType::A | RecordType::AAAA) {
        return None;
    }
    for _ in 0..ALIASES_MAX {
        let RData::CNAME(target) = &answers.last()?.data else { return None };
        let target = target.0.clone();
        match zone.find(&target, kind) {
            Found::NotOurs => return Some(Query::query(target, kind)),
            Found::Records { answers: found, .. } => answers.extend(found),
            Found::NoData | Found::NoName => return None,
        }
    }
    None
}

fn reply(question: &Message, code: ResponseCode, by: By, fill: impl FnOnce(&mut Message)) -> Outcome {
    let mut response = respond(question, code);
    fill(&mut response);
    pack(question, response, by).map_or(Outcome::Drop, Outcome::Reply)
}

fn respond(question: &Message, code: ResponseCode) -> Message {
    let mut response = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    response.metadata.op_code = question.metadata.op_code;
    response.metadata.recursion_desired = question.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    // Many questions at once are not answered, and not sent back either: that could be long.
    if let [query] = question.queries.as_slice() {
        response.queries = vec![query.clone()];
    }
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(u16::try_from(UDP_BYTES_MAX).unwrap_or(u16::MAX));
        response.edns = Some(edns);
    }
    response
}

/// A response as it travels.
fn pack(question: &Message, mut response: Message, by: By) -> Option<Vec<u8>> {
    let mut bytes = response.to_vec().ok()?;
    if by == By::Udp && bytes.len() > udp_limit(question) {
        // What the asker did not ask for goes first.
        response.additionals.clear();
        bytes = response.to_vec().ok()?;
        if bytes.len() > udp_limit(question) {
            bytes = truncated(response, udp_limit(question))?;
        }
    }
    Some(bytes)
}

/// As many of the answers as fit, and word that there are more: not everybody asks again by TCP (musl before 1.2.4).
fn truncated(mut response: Message, limit: usize) -> Option<Vec<u8>> {
    response.metadata.truncation = true;
    response.authorities.clear();
    let answers = std::mem::take(&mut response.answers);
    // So many fit, and so many do not.
    let (mut fitting, mut too_many) = (0, answers.len() + 1);
    let mut best = response.to_vec().ok()?;
    while too_many - fitting > 1 {
        let count = fitting.midpoint(too_many);
        response.answers = answers[..count].to_vec();
        let bytes = response.to_vec().ok()?;
        if bytes.len() <= limit {
            (fitting, best) = (count, bytes);
        } else {
            too_many = count;
        }
    }
    Some(best)
}

fn udp_limit(question: &Message) -> usize {
    match &question.edns {
        Some(edns) => usize::from(edns.max_payload()).clamp(UDP_BYTES, UDP_BYTES_MAX),
        None => UDP_BYTES,
    }
}

/// The header of a question that nobody could answer, turned into a response.
pub(crate) fn server_failure(question: &[u8]) -> Vec<u8> {
    failure(question, SERVFAIL)
}

fn failure(question: &[u8], code: u8) -> Vec<u8> {
    let mut header = question[..HEADER_BYTES].to_vec();
    // QR, with the opcode and RD as they came; RA and the code; no records.
    header[2] = header[2] & 0x79 | 0x80;
    header[3] = 0x80 | code;
    header[4..].fill(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::core::v1::{Service, ServiceSpec};
    use api::discovery::v1::EndpointSlice;
    use client::Lister;
    use hickory_proto::rr::Name;

    fn zone(addresses: usize) -> Zone {
        let (services, slices) = (Lister::new(), Lister::new());
        let mut service = Service::default();
        service.metadata.namespace = Some("ns".into());
        service.metadata.name = Some("web".into());
        let ips = (0..addresses).map(|n| format!("10.96.{}.{}", n / 256, n % 256)).collect();
        service.spec = Some(ServiceSpec { cluster_ips: Some(ips), ..ServiceSpec::default() });
        services.put(service);
        slices.put(EndpointSlice::default());
        Zone::new("cluster.local", services, slices).expect("a zone")
    }

    fn ask(zone: &Zone, name: &str, by: By) -> Message {
        let mut message = Message::query();
        message.metadata.id = 77;
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
        match answer(zone, &message.to_vec().expect("bytes"), by) {
            Outcome::Reply(bytes) => Message::from_vec(&bytes).expect("a message"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_are_cut_for_udp_only() {
        let zone = zone(100);
        let udp = ask(&zone, "web.ns.svc.cluster.local.", By::Udp);
        assert!(udp.metadata.truncation);
        // The header, the question and as many answers of 16 bytes as fit into 512.
        let question = "web.ns.svc.cluster.local".len() + 2 + 4;
        assert_eq!((udp.metadata.id, udp.answers.len()), (77, (512 - 12 - question) / 16));
        let tcp = ask(&zone, "web.ns.svc.cluster.local.", By::Tcp);
        assert!(!tcp.metadata.truncation);
        assert_eq!(tcp.answers.len(), 100);
    }

    #[test]
    fn aliases_are_followed() {
        let services = Lister::new();
        let mut web = Service::default();
        web.metadata.namespace = Some("ns".into());
        web.metadata.name = Some("web".into());
        web.spec =
            Some(ServiceSpec { cluster_ips: Some(vec!["10.96.0.7".into()]), ..ServiceSpec::default() });
        services.put(web);
        let targets = [
            ("in", "web.ns.svc.cluster.local"),
            ("out", "example.org"),
            ("round", "round.ns.svc.cluster.local"),
        ];
        for (name, target) in targets {
            let mut alias = Service::default();
            alias.metadata.namespace = Some("ns".into());
            alias.metadata.name = Some(name.into());
            let (type_, external_name) = (Some("ExternalName".into()), Some(target.into()));
            alias.spec = Some(ServiceSpec { type_, external_name, ..ServiceSpec::default() });
            services.put(alias);
        }
        let zone = Zone::new("cluster.local", services, Lister::new()).expect("a zone");
        assert_eq!(ask(&zone, "in.ns.svc.cluster.local.", By::Udp).answers.len(), 2);
        // An alias of itself ends.
        assert!(ask(&zone, "round.ns.svc.cluster.local.", By::Udp).answers.len() > 1);

        let mut message = Message::query();
        message.add_query(Query::query(
            Name::from_ascii("out.ns.svc.cluster.local.").expect("a name"),
            RecordType::A,
        ));
        let outcome = answer(&zone, &message.to_vec().expect("bytes"), By::Udp);
        let Outcome::Complete(alias) = outcome else { panic!("{outcome:?}") };
        assert_eq!(alias.query.name().to_string(), "example.org.");
        let mut found = Message::from_vec(&alias.question().expect("a question")).expect("a message");
        let address = hickory_proto::rr::rdata::A::new(192, 0, 2, 1);
        found.answers.push(Record::from_rdata(alias.query.name().clone(), 30, RData::A(address)));
        let whole = alias.complete(&found.to_vec().expect("bytes"), By::Udp).expect("an answer");
        assert_eq!(Message::from_vec(&whole).expect("a message").answers.len(), 2);
    }

    #[test]
    fn an_absence_says_how_long_it_holds() {
        let response = ask(&zone(1), "none.ns.svc.cluster.local.", By::Udp);
        assert_eq!(response.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(response.authorities.len(), 1);
    }

    #[test]
    fn many_questions_are_not_sent_back() {
        let mut message = Message::query();
        message.queries = vec![Query::query(Name::root(), RecordType::A); 256];
        let bytes = message.to_vec().expect("bytes");
        let Outcome::Reply(reply) = answer(&zone(1), &bytes, By::Udp) else { panic!("no reply") };
        let reply = Message::from_vec(&reply).expect("a message");
        assert_eq!((reply.metadata.response_code, reply.queries.len()), (ResponseCode::FormErr, 0));
    }

    #[test]
    fn what_is_no_question_gets_an_error_or_nothing() {
        let zone = zone(1);
        assert!(matches!(answer(&zone, b"short", By::Udp), Outcome::Drop));
        let mut bytes = vec![0; 12];
        bytes[2] = 0x80;
        assert!(matches!(answer(&zone, &bytes, By::Udp), Outcome::Drop));
        bytes[2] = 1;
        bytes[5] = 9;
        let Outcome::Reply(reply) = answer(&zone, &bytes, By::Udp) else { panic!("no reply") };
        assert_eq!((reply[2], reply[3], reply.len()), (0x81, 0x81, 12));
    }
}
